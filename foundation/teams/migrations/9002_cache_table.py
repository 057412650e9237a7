"""The table of the database cache: limits of sign-in must hold in every process, not in each one's memory."""

from django.db import migrations, models

TABLE = "portal_cache"


def make_table(apps, schema_editor):
    connection = schema_editor.connection
    quote = connection.ops.quote_name
    key = models.CharField(max_length=255).db_type(connection)
    text, moment = models.TextField().db_type(connection), models.DateTimeField().db_type(connection)
    # The columns that Django's own cache asks for.
    schema_editor.execute(
        f"CREATE TABLE {quote(TABLE)} ({quote('cache_key')} {key} NOT NULL PRIMARY KEY, "
        f"{quote('value')} {text} NOT NULL, {quote('expires')} {moment} NOT NULL)"
    )
    schema_editor.execute(f"CREATE INDEX {quote(TABLE + '_expires')} ON {quote(TABLE)} ({quote('expires')})")


def drop_table(apps, schema_editor):
    schema_editor.execute(f"DROP TABLE {schema_editor.connection.ops.quote_name(TABLE)}")


class Migration(migrations.Migration):
    dependencies = [("teams", "9001_audit_triggers")]
    operations = [migrations.RunPython(make_table, drop_table)]
