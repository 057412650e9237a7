"""Forms of evaluating. They read what a person gave; the rules stand in the services."""

from __future__ import annotations

from typing import Any

from django import forms

from decisions.domain.facts import TaskKind
from evaluations.domain import scoring
from evaluations.domain.comparison import Margins


class EvaluateForm(forms.Form):
    """Which candidates, over which rows, scored how, for how much."""

    candidates = forms.MultipleChoiceField(
        widget=forms.CheckboxSelectMultiple,
        error_messages={"required": "Choose at least one candidate."},
        help_text="All of them answer the same rows, so that they can be compared row by row.",
    )
    baseline = forms.ChoiceField(
        required=False,
        help_text="What the others have to beat. Left alone, the strongest alternative is taken.",
    )
    split = forms.ChoiceField(
        label="Rows",
        widget=forms.RadioSelect,
        initial="validation",
        help_text="Validation rows while you choose. Test rows for the claim at the end; each look is counted.",
    )
    reason = forms.CharField(
        label="What do you claim?",
        required=False,
        max_length=500,
        widget=forms.TextInput,
        help_text="Only for test rows: one sentence, kept with the look.",
    )
    despite_wear = forms.BooleanField(
        label="The test is worn out; claim all the same",
        required=False,
        help_text="Only where fresh rows cannot be had. The look is counted like any other.",
    )
    sample = forms.IntegerField(
        label="Take a sample",
        required=False,
        min_value=1,
        max_value=100_000,
        help_text="So many rows, spread over the labels by a kept seed. Empty: all of them.",
    )
    scorers = forms.MultipleChoiceField(
        widget=forms.CheckboxSelectMultiple, required=False, help_text="The first one decides."
    )
    judge = forms.BooleanField(
        label="Let a connected model judge too",
        required=False,
        help_text="Scores accuracy, relevance and quality from 0 to 1. A reply that cannot be read leaves a row unscored.",
    )
    cap = forms.DecimalField(
        label="Cap in dollars",
        required=False,
        min_value=0,
        max_value=100_000,
        decimal_places=4,
        help_text="For each paid evaluation. It cannot be crossed; rows it does not reach stay unscored.",
    )
    points = forms.FloatField(
        label="Margin in points",
        initial=2,
        required=False,
        min_value=0.1,
        max_value=50,
        help_text="Scores this close count as equal. Frozen before the results.",
    )
    relative = forms.FloatField(
        label="Margin for latency and cost, %",
        initial=10,
        required=False,
        min_value=0.1,
        max_value=100,
        help_text="Of the baseline's figure.",
    )

    def __init__(
        self,
        *args: Any,
        candidates: list[tuple[str, str]],
        task: str,
        n_rows: dict[str, int],
        is_worn: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        if not is_worn:
            del self.fields["despite_wear"]
        self.fields["candidates"].choices = candidates
        self.fields["baseline"].choices = [("", "the strongest alternative"), *candidates]
        self.fields["split"].choices = [
            ("validation", f"Validation, {n_rows['validation']:,} rows"),
            ("test", f"Test, {n_rows['test']:,} sealed rows: a claim"),
        ]
        fitting = scoring.scorers_for(task)
        self.fields["scorers"].choices = [(s.name, f"{s.title}: {s.note}") for s in fitting]
        self.fields["scorers"].initial = list(scoring.DEFAULTS[TaskKind(task)])

    def margins(self) -> Margins:
        """The margins to freeze."""
        data = self.cleaned_data
        return Margins(points=(data.get("points") or 2) / 100, relative=(data.get("relative") or 10) / 100)

    def cap_microusd(self) -> int | None:
        """The cap in micro-dollars, None when nobody gave one."""
        cap = self.cleaned_data.get("cap")
        return int(cap * 1_000_000) if cap is not None else None


class CandidateForm(forms.Form):
    """A model with a prompt."""

    name = forms.CharField(max_length=200, help_text="How reports call it, such as “haiku, prompt 3”.")
    connection = forms.ChoiceField()
    model = forms.ChoiceField()
    system = forms.CharField(
        label="System prompt",
        required=False,
        widget=forms.Textarea(attrs={"rows": 10}),
        help_text="What the model is told before each row. It is frozen with the candidate.",
    )
    n_few_shot = forms.IntegerField(
        label="Examples in the prompt",
        initial=0,
        min_value=0,
        max_value=40,
        required=False,
        help_text="So many training rows, spread over the labels. They cost tokens on every request.",
    )
    few_shot_version = forms.ChoiceField(label="Examples from", required=False)
    max_tokens = forms.IntegerField(
        label="Longest answer, tokens", initial=512, min_value=1, max_value=64_000, required=False
    )
    effort = forms.ChoiceField(
        required=False,
        choices=[("", "as the model likes"), ("low", "low"), ("medium", "medium"), ("high", "high")],
    )

    def __init__(
        self,
        *args: Any,
        connections: list[tuple[str, str]],
        models: list[tuple[str, str]],
        versions: list[tuple[str, str]],
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.fields["connection"].choices = connections
        self.fields["model"].choices = models
        self.fields["few_shot_version"].choices = versions


class ReasonForm(forms.Form):
    """Why sealed rows are opened."""

    reason = forms.CharField(
        max_length=500,
        label="Why do you open these test rows?",
        help_text="One sentence. It is kept with your name; opened rows must not guide further tuning.",
    )
