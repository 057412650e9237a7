"""PostgreSQL's search index gathers every match before the first: cut into stretches it is asked for a few at a time.

An index made in one piece would take minutes to cut, with the table locked. It is begun again, empty: the chore that
makes rows searchable starts a job for every import, and until theirs has run rows are searched one by one.
"""

from django.db import migrations

from datasets import searching


def begin_again(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        searching.drop(schema_editor)
        searching.create(schema_editor)
        apps.get_model("datasets", "Import").objects.update(indexed_at=None, indexed_upto=0)


class Migration(migrations.Migration):
    dependencies = [("datasets", "0025_where_the_contents_end")]
    # Backwards the index stays as it is: it answers without its stretches, too.
    operations = [migrations.RunPython(begin_again, migrations.RunPython.noop)]
