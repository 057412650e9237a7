"""The search index over row texts: a table of its own on either database, with the triggers that empty it."""

from django.db import migrations

from datasets import searching


def create(apps, schema_editor):
    searching.create(schema_editor)


def drop(apps, schema_editor):
    searching.drop(schema_editor)


class Migration(migrations.Migration):
    dependencies = [("datasets", "0006_search_index")]
    operations = [migrations.RunPython(create, drop)]
