"""What people fill in while deciding. Money is dollars and gains are per cent here; rows keep micro-dollars and shares."""

from __future__ import annotations

import json
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from django import forms

from decisions.domain.approaches import Approach
from decisions.domain.costs import DOLLAR, RATE_FIELDS, STANDARD
from decisions.domain.facts import Complexity, Level, TaskKind, Timing
from decisions.models import MAX_VOLUME_PER_DAY, UseCase
from foundation.teams.models import Team, User

MAX_DOLLARS = Decimal(1_000_000_000)
KNOWN = [("", "Not known yet"), ("yes", "Yes"), ("no", "No")]

HELP = {
    "task_complexity": "Simple: one step, explained in a sentence. Complex: several steps, judgement, many exceptions.",
    "data_availability": "Low: fewer than 500 examples could be gathered. High: 2,000 or more.",
    "data_quality": "High: reviewed by people, consistent, right. Low: nobody has looked, or answers contradict each other.",
    "volume_per_day": "From 10,000 a day the cost of training spreads thin enough to count.",
    "budget_constraint": "Low: hardly anything for set-up. High: set-up and upkeep can be paid.",
    "time_to_market": "Urgent: within two weeks. Relaxed scores as normal.",
    "requires_factual_accuracy": "A wrong fact does harm: answers must rest on a source.",
    "requires_consistency": "The same question must get the same answer, in the same form.",
    "requires_specialised_behaviour": "A manner, format or judgement of your own that a prompt hardly conveys.",
    "has_knowledge_base": "Documents exist that hold the answers and can be searched.",
    "data_changes_frequently": "What is true today may not be next month: prices, policies, documentation.",
    "requires_citations": "Each answer must say where it stands.",
    "requires_flexibility": "What is wanted will be changed at short notice.",
    "domain_specific": "The words and rules are those of one field.",
    "prompt_solves_it": "The tree's first question. Leave it open until somebody has tried a good prompt.",
    "examples_in_hand": "Good examples you could use today. Counted by the portal once a dataset is frozen.",
    "expected_gain": "How much better than the best prompt, in per cent. Measured by the portal after an evaluation.",
    "is_prototype": "Trying things out, not yet meant for production.",
    "behaviour_changes_often": "What counts as a good answer is still moving.",
    "value_per_improved": "In dollars. An assumption that most verdicts rest on: $0.50 is the book's example.",
}


class LabelsField(forms.Field):
    """One label a line, "name: what it means"; the value is [{"name", "definition"}, …]."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            widget=forms.Textarea(attrs={"rows": 4, "spellcheck": "false"}), required=False, **kwargs
        )

    def prepare_value(self, value: Any) -> Any:
        """The lines people edit."""
        if isinstance(value, list):
            return "\n".join(
                f"{row['name']}: {row['definition']}" if row["definition"] else row["name"] for row in value
            )
        return value

    def to_python(self, value: Any) -> list[dict[str, str]]:
        """The labels; empty lines are nothing."""
        rows = []
        for line in str(value or "").splitlines():
            name, _, definition = line.partition(":")
            if name.strip():
                rows.append({"name": name.strip(), "definition": definition.strip()})
        return rows


class SchemaField(forms.Field):
    """A JSON Schema as text; the value is a mapping or None."""

    def __init__(self, **kwargs: Any) -> None:
        widget = forms.Textarea(attrs={"rows": 4, "spellcheck": "false", "class": "mono"})
        super().__init__(widget=widget, required=False, **kwargs)

    def prepare_value(self, value: Any) -> Any:
        """The text people edit."""
        return json.dumps(value, indent=2, ensure_ascii=False) if isinstance(value, dict) else (value or "")

    def to_python(self, value: Any) -> dict[str, Any] | None:
        """The schema; raises with the line and the reason when it is not a JSON object."""
        if not str(value or "").strip():
            return None
        try:
            schema = json.loads(value)
        except json.JSONDecodeError as error:
            raise forms.ValidationError(
                f"This is not JSON: line {error.lineno}, column {error.colno}: {error.msg}."
            ) from None
        if not isinstance(schema, dict):
            raise forms.ValidationError('A schema is a JSON object, as in {"type": "object", …}.')
        return schema


class KnownField(forms.TypedChoiceField):
    """Yes, no or not known yet; the value is True, False or None."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            choices=KNOWN,
            coerce=lambda value: value == "yes",
            empty_value=None,
            required=False,
            **kwargs,
        )

    def prepare_value(self, value: Any) -> Any:
        """The word of a stored answer."""
        return {True: "yes", False: "no", None: ""}.get(value, value)


def money(label: str, help_text: str = "", *, places: int = 6, required: bool = True) -> forms.DecimalField:
    """A field in dollars with up to six digits behind the point: not a cent is cut off."""
    return forms.DecimalField(
        label=label,
        help_text=help_text,
        min_value=0,
        max_value=MAX_DOLLARS,
        decimal_places=places,
        required=required,
        widget=forms.NumberInput(attrs={"step": "any", "inputmode": "decimal"}),
    )


def microusd(dollars: Decimal) -> int:
    """Dollars as whole micro-dollars, exactly."""
    return int(dollars * DOLLAR)


def dollars(amount_microusd: int) -> str:
    """Micro-dollars as the dollars of a field, without needless zeros."""
    text = f"{Decimal(amount_microusd) / DOLLAR:f}"
    if "." not in text:
        return text
    text = text.rstrip("0").rstrip(".")
    whole, point, part = text.partition(".")
    return f"{whole}.{part.ljust(2, '0')}" if point else whole


class UseCaseStartForm(forms.Form):
    """The short beginning: a name, what it should do, and the kind of task."""

    name = forms.CharField(
        max_length=200, label="Name", widget=forms.TextInput(attrs={"autofocus": True, "autocomplete": "off"})
    )
    description = forms.CharField(
        label="What should it do?",
        required=False,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="One or two sentences, as you would tell a new colleague.",
    )
    task_kind = forms.ChoiceField(
        label="Kind of task",
        choices=[(kind.value, kind.label) for kind in TaskKind],
        initial=TaskKind.CLASSIFY,
    )
    press = forms.CharField(required=False, widget=forms.HiddenInput)


class UseCaseForm(forms.Form):
    """Every answer about a use case, in the groups the page shows."""

    version = forms.IntegerField(widget=forms.HiddenInput)
    name = forms.CharField(max_length=200, label="Name")
    description = forms.CharField(
        label="What should it do?", required=False, widget=forms.Textarea(attrs={"rows": 3})
    )
    task_kind = forms.ChoiceField(
        label="Kind of task", choices=[(kind.value, kind.label) for kind in TaskKind]
    )
    labels = LabelsField(
        label="Labels", help_text="One a line, with what it means: “billing: about an invoice”."
    )
    output_schema = SchemaField(
        label="Output schema", help_text="A JSON Schema, for tasks that fill in fields."
    )

    task_complexity = forms.ChoiceField(label="Complexity", choices=[(c.value, c.label) for c in Complexity])
    data_availability = forms.ChoiceField(
        label="Data availability", choices=[(c.value, c.label) for c in Level]
    )
    data_quality = forms.ChoiceField(label="Data quality", choices=[(c.value, c.label) for c in Level])
    volume_per_day = forms.IntegerField(label="Requests a day", min_value=0, max_value=MAX_VOLUME_PER_DAY)
    budget_constraint = forms.ChoiceField(label="Budget", choices=[(c.value, c.label) for c in Level])
    time_to_market = forms.ChoiceField(label="Timing", choices=[(c.value, c.label) for c in Timing])

    requires_factual_accuracy = forms.BooleanField(label="Facts must be right", required=False)
    requires_consistency = forms.BooleanField(label="The same answer every time", required=False)
    requires_specialised_behaviour = forms.BooleanField(label="Specialised behaviour", required=False)
    has_knowledge_base = forms.BooleanField(label="A knowledge base exists", required=False)
    data_changes_frequently = forms.BooleanField(label="The knowledge changes often", required=False)
    requires_citations = forms.BooleanField(label="Answers cite their source", required=False)
    requires_flexibility = forms.BooleanField(label="Must stay flexible", required=False)
    domain_specific = forms.BooleanField(label="A domain of its own", required=False)

    prompt_solves_it = KnownField(label="Does a good prompt solve it?")
    examples_in_hand = forms.IntegerField(
        label="Good examples in hand", min_value=0, max_value=MAX_VOLUME_PER_DAY, required=False
    )
    expected_gain = forms.DecimalField(
        label="Expected gain over the best prompt, %",
        min_value=-100,
        max_value=100,
        decimal_places=2,
        required=False,
        widget=forms.NumberInput(attrs={"step": "any"}),
    )
    is_prototype = forms.BooleanField(label="Still exploring", required=False)
    behaviour_changes_often = forms.BooleanField(label="The wanted behaviour changes often", required=False)
    value_per_improved = money("An improved answer is worth, $", places=6)
    owner = forms.ModelChoiceField(
        label="Owner",
        queryset=User.objects.none(),
        required=False,
        empty_label="Nobody yet",
        help_text="Whom to ask about this use case.",
    )

    def __init__(self, *args: Any, team: Team, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["owner"].queryset = User.objects.filter(memberships__team=team).order_by("name", "email")
        for name, text in HELP.items():
            self.fields[name].help_text = self.fields[name].help_text or text
        for approach, name in rate_fields():
            self.fields[rate_name(approach, name)] = money(
                f"{approach.label}: {RATE_LABELS[name]}, $", places=6, required=False
            )

    @classmethod
    def of(cls, use_case: UseCase) -> UseCaseForm:
        """The form as the use case stands."""
        return cls(initial=initial_of(use_case), team=use_case.team)

    def changes(self) -> dict[str, Any]:
        """The cleaned answers as `services.update_use_case` takes them."""
        data = dict(self.cleaned_data)
        data.pop("version")
        gain = data["expected_gain"]
        data["expected_gain"] = None if gain is None else gain / 100
        data["value_per_improved_microusd"] = microusd(data.pop("value_per_improved"))
        rates: dict[str, dict[str, int]] = {}
        for approach, name in rate_fields():
            value = data.pop(rate_name(approach, name))
            standard = getattr(STANDARD[approach], name)
            if value is not None and microusd(value) != standard:
                rates.setdefault(approach.value, {})[name] = microusd(value)
        return {**data, "rates": rates}

    def groups(self) -> list[tuple[str, str, list[Any]]]:
        """The fields in the groups of the page: (heading, what the group is about, fields)."""
        return [(heading, text, [self[name] for name in names]) for heading, text, names in GROUPS]

    def rate_rows(self) -> list[tuple[Approach, list[Any]]]:
        """The rate fields, one row an approach."""
        return [(a, [self[rate_name(a, name)] for name in RATE_FIELDS]) for a in STANDARD]


GROUPS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    (
        "The task",
        "Length limits, scorers and splits follow from it.",
        ("name", "description", "task_kind", "labels", "output_schema", "task_complexity", "owner"),
    ),
    ("The data", "What there is to learn from.", ("data_availability", "data_quality", "examples_in_hand")),
    (
        "Volume, money, time",
        "",
        ("volume_per_day", "budget_constraint", "time_to_market", "value_per_improved"),
    ),
    (
        "What the answers need",
        "Tick what really matters: each tick moves a score.",
        (
            "requires_factual_accuracy",
            "has_knowledge_base",
            "data_changes_frequently",
            "requires_citations",
            "requires_consistency",
            "requires_specialised_behaviour",
            "requires_flexibility",
            "domain_specific",
        ),
    ),
    (
        "The decision tree",
        "Open questions are fine. They stay open until somebody knows.",
        ("prompt_solves_it", "expected_gain", "is_prototype", "behaviour_changes_often"),
    ),
)
RATE_LABELS = {
    "setup_microusd": "set-up",
    "training_microusd": "training",
    "per_request_microusd": "a request",
    "monthly_microusd": "a month",
}


def rate_fields() -> Iterable[tuple[Approach, str]]:
    """Every rate a team may change: the three approaches with rates of their own; the hybrid follows from them."""
    return [(approach, name) for approach in STANDARD for name in RATE_FIELDS]


def rate_name(approach: Approach, name: str) -> str:
    """The form field of one rate."""
    return f"rate_{approach.value}_{name.removesuffix('_microusd')}"


def initial_of(use_case: UseCase) -> dict[str, Any]:
    """A use case's answers as the form shows them."""
    names = [f for f in UseCaseForm.base_fields if f not in ("value_per_improved", "expected_gain")]
    initial = {name: getattr(use_case, name) for name in names}
    gain = use_case.expected_gain
    initial["expected_gain"] = (
        None if gain is None else f"{Decimal(str(gain)) * 100:f}".rstrip("0").rstrip(".")
    )
    initial["value_per_improved"] = dollars(use_case.value_per_improved_microusd)
    for approach, name in rate_fields():
        own = use_case.rates.get(approach.value, {}).get(name)
        initial[rate_name(approach, name)] = dollars(
            getattr(STANDARD[approach], name) if own is None else own
        )
    return initial


class NoteForm(forms.Form):
    """A word with a decision: why now, who agreed."""

    note = forms.CharField(
        label="Note", required=False, max_length=2000, widget=forms.Textarea(attrs={"rows": 2}),
        help_text="Optional: who agreed, what was weighed.",
    )  # fmt: skip


class SignOffForm(forms.Form):
    """An approver's word on the answer they read. `digest` is that answer's."""

    digest = forms.CharField(max_length=64, widget=forms.HiddenInput)
    note = forms.CharField(
        label="What did you look at?",
        max_length=2000,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text="One sentence: what you checked, or on what condition you agree.",
        error_messages={"required": "Say in a sentence what you looked at, or on what condition you agree."},
    )
