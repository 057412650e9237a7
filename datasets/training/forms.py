"""The form of a training run: a choice of backend, then that backend's own schema turned into fields."""

from __future__ import annotations

from typing import Any

from django import forms

from datasets.forms import PressForm
from datasets.training.contract import Backend, Setting


def field_for(setting: Setting) -> forms.Field:
    """A form field for one setting. Limits and lists are checked by the schema itself, in one place."""
    common: dict[str, Any] = {"label": setting.title, "help_text": setting.help, "required": False}
    if setting.type == "choice":
        return forms.ChoiceField(choices=setting.choices, initial=setting.default, **common)
    if setting.type == "yes_no":
        return forms.BooleanField(initial=setting.default, **common)
    shown = setting.shown(setting.default) if setting.type == "numbers" else setting.default
    if setting.type == "numbers":
        return forms.CharField(initial=shown, max_length=200, **common)
    widget = forms.NumberInput(attrs={"step": "1" if setting.type == "integer" else "any"})
    return forms.CharField(initial=shown, max_length=40, widget=widget, **common)


class SettingsForm(PressForm):
    """Fields made from the chosen backend's schema, and the seed."""

    def __init__(self, *args: Any, backend: Backend, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.backend = backend
        for setting in backend.schema:
            self.fields[setting.name] = field_for(setting)
        self.fields["seed"] = forms.IntegerField(
            initial=0,
            min_value=0,
            max_value=2**31 - 1,
            required=False,
            help_text="The same rows, settings and seed give the same model.",
        )

    @property
    def usual(self) -> list[forms.BoundField]:
        """Settings most people look at."""
        return [self[s.name] for s in self.backend.schema if not s.is_advanced]

    @property
    def advanced(self) -> list[forms.BoundField]:
        """Settings that are rarely changed, and the seed."""
        return [self[s.name] for s in self.backend.schema if s.is_advanced] + [self["seed"]]

    def given(self) -> dict[str, Any]:
        """Settings as the person gave them; an emptied field falls back to its default."""
        found = {}
        for setting in self.backend.schema:
            value = self.cleaned_data.get(setting.name)
            if setting.type == "yes_no" or value not in (None, ""):
                found[setting.name] = value
        return found
