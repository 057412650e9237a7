"""Looks written before the vault counted them are counted there too."""

from django.db import migrations


def count(apps, schema_editor):
    TestLook = apps.get_model("evaluations", "TestLook")
    Look = apps.get_model("datasets", "Look")
    for old in TestLook.objects.select_related("comparison", "evaluation__candidate").order_by("pk").iterator():
        subject = old.comparison.name if old.comparison_id else ""
        kind = "claim" if old.kind == "claim" else "results"
        look = Look.objects.create(
            team_id=old.team_id, version_id=old.version_id, by_id=old.by_id, kind=kind, reason=old.reason,
            subject=subject[:300],
        )  # fmt: skip
        Look.objects.filter(pk=look.pk).update(at=old.at)


class Migration(migrations.Migration):
    dependencies = [
        ("evaluations", "0001_initial"),
        ("datasets", "0011_count_every_look"),
    ]

    operations = [migrations.RunPython(count, migrations.RunPython.noop)]
