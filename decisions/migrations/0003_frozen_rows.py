from django.db import migrations

from decisions import frozen_triggers


def install(apps, schema_editor):
    frozen_triggers.install(schema_editor.connection)


def remove(apps, schema_editor):
    frozen_triggers.remove(schema_editor.connection)


def tell_standing(apps, schema_editor):
    """What people know of a use case so far is what its latest decision says."""
    from decisions.domain.standing import margin_class

    UseCase = apps.get_model("decisions", "UseCase")
    for use_case in UseCase.objects.exclude(latest_decision=None).select_related("latest_decision").iterator():
        verdict = use_case.latest_decision.result["verdict"]
        word = f"{verdict['recommendation']}:{margin_class(verdict['margin']).value}"
        UseCase.objects.filter(pk=use_case.pk).update(known_standing=word)


class Migration(migrations.Migration):
    """Saved answers: the database itself refuses to change or delete them."""

    dependencies = [("decisions", "0002_living_decisions")]
    operations = [
        migrations.RunPython(tell_standing, migrations.RunPython.noop),
        migrations.RunPython(install, remove),
    ]
