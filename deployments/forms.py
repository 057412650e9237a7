"""Forms about endpoints and their tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import forms

from deployments.models import ModelVersion
from deployments.models.serving import SystemPolicy, TextRetention
from deployments.models.versions import tasks_of
from foundation.teams.forms import PressForm
from foundation.teams.models import Team

RETENTION_HELP = {
    TextRetention.NONE: "No text: figures and features only",
    TextRetention.SAMPLE: "A sample of requests and answers, personal data masked",
    TextRetention.ALL: "Every request and answer as it is",
}
POLICY_HELP = {
    SystemPolicy.REPLACE: "Replaced by the version's",
    SystemPolicy.APPEND: "Kept after the version's",
    SystemPolicy.REFUSE: "The request is refused",
}
LIVES = (("30", "30 days"), ("90", "90 days"), ("365", "1 year"), ("", "No end"))


class EndpointSettingsForm(forms.Form):
    """What may be changed about an endpoint without moving its traffic."""

    text_retention = forms.ChoiceField(
        label="Text kept", choices=list(RETENTION_HELP.items()), widget=forms.RadioSelect, initial="sample"
    )
    text_percent = forms.FloatField(
        label="Part of the requests kept, in per cent",
        min_value=0,
        max_value=100,
        initial=10,
        help_text="Of the sample. Features are measured for every request.",
    )
    text_days = forms.IntegerField(
        label="Days until text is removed", min_value=1, max_value=3650, initial=30
    )
    system_policy = forms.ChoiceField(
        label="A client's own system prompt is",
        choices=list(POLICY_HELP.items()),
        widget=forms.RadioSelect,
        initial="replace",
    )
    task = forms.ChoiceField(
        label="Task",
        required=False,
        help_text="Named in every prompt to a version that learnt several tasks.",
    )
    falls_back = forms.BooleanField(
        label="When the candidate fails, the baseline answers", required=False, initial=True
    )
    timeout_s = forms.IntegerField(
        label="Seconds to wait for an answer", min_value=1, max_value=600, initial=60
    )
    max_in_flight = forms.IntegerField(
        label="Requests at the same time", min_value=1, max_value=2000, initial=200
    )
    requests_per_minute = forms.IntegerField(
        label="Requests a minute", min_value=1, required=False, help_text="For each gateway. Empty: no limit."
    )
    daily_budget = forms.DecimalField(
        label="Dollars a day",
        min_value=0,
        max_digits=12,
        decimal_places=2,
        required=False,
        help_text="Paid models answer until it is used up. Empty: no limit.",
    )

    def __init__(self, *args: Any, tasks: Sequence[str] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _offer_tasks(self, tasks)

    def settings(self) -> dict[str, Any]:
        """What the services take."""
        given = self.cleaned_data
        task = {"task": given["task"]} if "task" in self.fields else {}
        budget = given.get("daily_budget")
        return {
            **task,
            "text_retention": given["text_retention"],
            "text_share": given["text_percent"] / 100,
            "text_days": given["text_days"],
            "system_policy": given["system_policy"],
            "falls_back": given["falls_back"],
            "timeout_s": given["timeout_s"],
            "max_in_flight": given["max_in_flight"],
            "requests_per_minute": given["requests_per_minute"],
            "daily_budget_microusd": int(budget * 1_000_000) if budget else None,
        }


def _offer_tasks(form: forms.Form, tasks: Sequence[str]) -> None:
    """The tasks to choose from; no field where no version learnt several."""
    if tasks:
        form.fields["task"].choices = [("", "None: its versions learnt one task"), *((t, t) for t in tasks)]  # type: ignore[attr-defined]
    else:
        del form.fields["task"]


class VersionChoice(forms.ModelChoiceField):
    """Versions with their use case, as people know them."""

    def label_from_instance(self, version: ModelVersion) -> str:
        """One line of the list."""
        return f"{version.use_case.name}: {version.label} {version.name}".strip()


class EndpointForm(PressForm):
    """A new endpoint: what it serves, where, and what is kept."""

    version = VersionChoice(queryset=ModelVersion.objects.none(), label="Model version")
    slug = forms.CharField(
        label="Address",
        max_length=60,
        help_text="Small letters, digits and hyphens, as in support-triage. It cannot be changed later.",
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )
    task = forms.ChoiceField(
        label="Task",
        required=False,
        help_text="For a version that learnt several tasks: the one this endpoint serves. It is named in every prompt.",
    )
    text_retention = forms.ChoiceField(
        label="Text kept",
        choices=list(RETENTION_HELP.items()),
        widget=forms.RadioSelect,
        initial="sample",
        help_text="The sample is 10 % of the requests, for 30 days.",
    )
    system_policy = forms.ChoiceField(
        label="A client's own system prompt is",
        choices=list(POLICY_HELP.items()),
        widget=forms.RadioSelect,
        initial="replace",
    )

    def __init__(self, *args: Any, team: Team, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        found = ModelVersion.objects.of(team).filter(use_case__archived_at=None).select_related("use_case")
        self.fields["version"].queryset = found.order_by("use_case__name", "-number")  # type: ignore[attr-defined]
        _offer_tasks(self, tasks_of(found))


class GatewayTokenForm(PressForm):
    """A key for a program."""

    name = forms.CharField(max_length=100, label="What it is for", help_text="As in “shop backend”.")
    days = forms.TypedChoiceField(
        label="It ends after",
        choices=LIVES,
        initial="365",
        required=False,
        coerce=lambda value: int(value) if value else None,
        empty_value=None,
    )
