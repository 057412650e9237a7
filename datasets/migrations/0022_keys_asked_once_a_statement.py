"""PostgreSQL looks up the keys of bulk rows once a statement: docs/decisions/0023."""

from django.db import migrations, transaction

from datasets import bulk_keys


# The catalogue changes and no row: at once, so that no moment is without either.
def create(apps, schema_editor):
    with transaction.atomic(schema_editor.connection.alias):
        bulk_keys.create(schema_editor, apps)


def drop(apps, schema_editor):
    with transaction.atomic(schema_editor.connection.alias):
        bulk_keys.drop(schema_editor, apps)


class Migration(migrations.Migration):
    atomic = False
    dependencies = [
        ("datasets", "0021_columns_left_out"),
    ]
    operations = [migrations.RunPython(create, drop, hints={"in_batches": True})]
