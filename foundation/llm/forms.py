"""The form of a connection. The key can be written and never read."""

from __future__ import annotations

from typing import Any

from django import forms

from foundation.llm.models import Connection
from foundation.llm.services import DEFAULT_BASE_URL, MAX_CONCURRENCY


class ConnectionForm(forms.Form):
    press = forms.CharField(widget=forms.HiddenInput, required=False, max_length=64)
    name = forms.CharField(max_length=120, help_text="How the team calls it, as in “Claude, support budget”.")
    base_url = forms.CharField(
        label="Address", max_length=300, initial=DEFAULT_BASE_URL, help_text="Without /v1 at the end."
    )
    key = forms.CharField(
        label="API key",
        max_length=500,
        required=False,
        strip=True,
        widget=forms.PasswordInput(render_value=False, attrs={"autocomplete": "off", "spellcheck": "false"}),
    )
    max_concurrency = forms.IntegerField(
        label="Calls at once",
        min_value=1,
        max_value=MAX_CONCURRENCY,
        initial=8,
        help_text="Over all processes of the portal.",
    )
    make_default = forms.BooleanField(label="Use it when nobody chose another", required=False)
    enabled = forms.BooleanField(label="Switched on", required=False, initial=True)

    def __init__(self, *args: Any, connection: Connection | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if connection is None:
            del self.fields["enabled"]
            self.fields["key"].help_text = "Kept encrypted, shown never again, sent to this address only."
            return
        self.initial = {
            "name": connection.name,
            "base_url": connection.base_url,
            "max_concurrency": connection.max_concurrency,
            "make_default": connection.is_default,
            "enabled": connection.enabled,
        }
        del self.fields["press"]
        if connection.from_environment:
            del self.fields["base_url"], self.fields["key"]
            return
        now = (
            f"Now {connection.shown_key}. Leave it empty to keep it."
            if connection.has_key
            else "None is stored."
        )
        self.fields["key"].help_text = f"{now} A new address erases the stored key."
