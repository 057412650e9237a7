"""The form of a schedule."""

from __future__ import annotations

from typing import Any

from django import forms

from foundation.jobs.kinds import all_kinds
from foundation.jobs.models import Schedule

UNITS = (("60", "minutes"), ("3600", "hours"), ("86400", "days"))


class EmptyIsNone(forms.JSONField):
    """JSON that may be left out: nothing is shown as nothing, not as "null"."""

    def prepare_value(self, value: Any) -> Any:
        """The text in the box."""
        return "" if value is None else super().prepare_value(value)


class ScheduleForm(forms.Form):
    """Name, what, when. Either every so often, or a crontab."""

    name = forms.CharField(max_length=200, help_text="What people see in the list of jobs.")
    kind = forms.ChoiceField(label="What it starts")
    every = forms.IntegerField(
        required=False, min_value=1, max_value=10_000, help_text="Leave it empty to use a crontab."
    )
    unit = forms.ChoiceField(choices=UNITS, initial="3600", label="Unit")
    crontab = forms.CharField(
        required=False,
        max_length=100,
        help_text="Minute, hour, day of month, month, day of week, in UTC. 30 6 * * 1 is Monday at 06:30.",
    )
    recipe = EmptyIsNone(
        required=False,
        label="Settings",
        help_text="What the work is told, as JSON. Leave it empty for none.",
        widget=forms.Textarea(attrs={"rows": 4, "spellcheck": "false"}),
    )
    enabled = forms.BooleanField(required=False, initial=True, label="Switched on")

    def __init__(self, data: Any = None, *, schedule: Schedule | None = None) -> None:
        initial: dict[str, Any] = {}
        if schedule is not None:
            initial = {
                "name": schedule.name,
                "kind": schedule.kind,
                "crontab": schedule.crontab,
                "recipe": schedule.recipe or None,
                "enabled": schedule.enabled,
            }
            if schedule.interval_s:
                unit = next((int(u) for u, _ in reversed(UNITS) if schedule.interval_s % int(u) == 0), 60)
                initial |= {"every": max(1, schedule.interval_s // unit), "unit": str(unit)}
        super().__init__(data, initial=initial)
        if schedule is not None:
            del self.fields["kind"]
        else:
            field = self.fields["kind"]
            assert isinstance(field, forms.ChoiceField)
            field.choices = self.kind_choices()

    @staticmethod
    def kind_choices() -> list[tuple[str, str]]:
        """The kinds of work a team may schedule."""
        return [(kind.name, kind.title or kind.name) for kind in all_kinds() if kind.schedulable]

    def clean_recipe(self) -> dict[str, Any]:
        """Settings are a JSON object."""
        value = self.cleaned_data.get("recipe")
        if value in (None, ""):
            return {}
        if not isinstance(value, dict):
            raise forms.ValidationError('The settings must be a JSON object, as in {"days": 7}.')
        return value

    def clean(self) -> dict[str, Any]:
        """Exactly one way to say when."""
        data = super().clean() or {}
        every, crontab = data.get("every"), (data.get("crontab") or "").strip()
        if "every" not in self.errors and "crontab" not in self.errors and bool(every) == bool(crontab):
            self.add_error("every", "Say when: either every so often, or a crontab, not both.")
        return data

    def values(self) -> dict[str, Any]:
        """The fields of a schedule, as the services take them."""
        data = self.cleaned_data
        every = data.get("every")
        return {
            "name": data["name"],
            **({"kind": data["kind"]} if "kind" in data else {}),
            "crontab": "" if every else data["crontab"].strip(),
            "interval_s": every * int(data["unit"]) if every else None,
            "recipe": data["recipe"],
            "enabled": data["enabled"],
        }
