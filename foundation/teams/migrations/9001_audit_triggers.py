from django.db import migrations

from foundation.teams import audit_triggers


def install(apps, schema_editor):
    audit_triggers.install(schema_editor.connection)


def remove(apps, schema_editor):
    audit_triggers.remove(schema_editor.connection)


class Migration(migrations.Migration):
    """The audit record only grows: the database itself refuses to change or delete what is in it."""

    dependencies = [("teams", "0001_initial")]
    operations = [migrations.RunPython(install, remove)]
