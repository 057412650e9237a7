"""The form that plans a rollout. It reads what a person gave; the rules stand in domain/canary.py."""

from __future__ import annotations

from typing import Any

from django import forms

from deployments.domain.canary import SCHEDULES, Guardrail, Measure, read_ladder
from deployments.forms import VersionChoice
from deployments.models import Endpoint, ModelVersion


class RolloutForm(forms.Form):
    """Which version, on which ladder, with which guardrails."""

    candidate = VersionChoice(queryset=ModelVersion.objects.none(), label="Model version to roll out")
    schedule = forms.ChoiceField(
        choices=[(s.name, s.title) for s in SCHEDULES.values()], widget=forms.HiddenInput
    )
    steps = forms.CharField(
        label="Steps, one a line",
        widget=forms.Textarea(attrs={"rows": 5, "spellcheck": "false"}),
        help_text="Share of traffic, time at least (s, min, h, d), requests at least in the smaller arm.",
    )
    quality_margin = forms.FloatField(
        label="Right answers: points worse at most",
        initial=5,
        min_value=0.1,
        max_value=100,
        required=False,
        help_text="Empty: not looked at. Rests on feedback.",
    )
    quality_min_n = forms.IntegerField(label="Judged answers in the smaller arm", initial=100, min_value=1)
    latency_margin = forms.FloatField(
        label="Latency: per cent slower at most", initial=10, min_value=0.1, max_value=100, required=False
    )
    errors_margin = forms.FloatField(
        label="Requests without an answer: points more at most",
        initial=2,
        min_value=0.1,
        max_value=100,
        required=False,
    )
    must_be_better = forms.BooleanField(
        label="Only what is proven better is promoted by itself; what is even waits for a person",
        initial=True,
        required=False,
    )
    promotes = forms.BooleanField(label="The last step promotes by itself", required=False)

    def __init__(self, *args: Any, endpoint: Endpoint, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        found = ModelVersion.objects.filter(use_case_id=endpoint.use_case_id, team_id=endpoint.team_id)
        found = found.exclude(pk=endpoint.baseline_id).select_related("use_case").order_by("-number")
        self.fields["candidate"].queryset = found  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        """With `ladder` and `guardrails` as the rules know them."""
        given = super().clean() or {}
        if "steps" in given:
            try:
                given["ladder"] = read_ladder(given["steps"])
            except ValueError as error:
                self.add_error("steps", f"{str(error)[:1].upper()}{str(error)[1:]}.")
        margins = {m: given.get(f"{m.value}_margin") for m in Measure}
        given["guardrails"] = [
            Guardrail(m, margin / 100, (given.get("quality_min_n") or 100) if m is Measure.QUALITY else 50)
            for m, margin in margins.items()
            if margin
        ]
        if not given["guardrails"] and not self.errors:
            self.add_error(None, "Keep at least one guardrail.")
        return given

    def given(self) -> dict[str, Any]:
        """What the service takes."""
        found = self.cleaned_data
        return {
            "candidate": found["candidate"],
            "schedule": found["schedule"],
            "steps": found["ladder"],
            "guardrails": found["guardrails"],
            "promotes": found["promotes"],
            "must_be_better": found["must_be_better"],
        }
