"""What people fill in while preparing data. Shares are per cent here; recipes keep exact fractions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any

from django import forms
from django.core.validators import MaxValueValidator

from datasets.domain.layouts import Layout
from datasets.domain.mapping import ColumnMapping
from datasets.domain.splitting import Strategy
from datasets.importing import ENCODINGS
from datasets.models import Content, Example
from decisions.models import UseCase
from foundation.teams.errors import BadInput
from foundation.teams.presses import new_press


class PressForm(forms.Form):
    """A form whose second press makes nothing new."""

    press = forms.CharField(widget=forms.HiddenInput, required=False, max_length=64)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["initial"] = {"press": new_press(), **(kwargs.get("initial") or {})}
        super().__init__(*args, **kwargs)

    def refuse(self, error: BadInput) -> None:
        """Put a service's sentence at its field, or at the top."""
        self.add_error(error.field if error.field in self.fields else None, str(error))


class DatasetForm(PressForm):
    """A name, and what it is for."""

    name = forms.CharField(max_length=200, help_text="For example: Support tickets, spring export.")
    use_case = forms.ModelChoiceField(
        UseCase.objects.none(),
        label="Use case",
        empty_label="Choose one",
        help_text="The rows will be checked and split for its task.",
    )
    description = forms.CharField(
        required=False,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="Where the rows come from, who collected them, what is missing. It goes into every version.",
    )
    licence = forms.CharField(
        required=False,
        max_length=200,
        help_text="Under which terms the rows may be used, for example CC BY 4.0.",
    )

    def __init__(self, *args: Any, use_cases: Any = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if use_cases is None:
            del self.fields["use_case"]
        else:
            self.fields["use_case"].queryset = use_cases  # type: ignore[attr-defined]


PARTS = {
    "messages": ("Chat messages", "A list of messages with roles. Then prompt and answer come from it."),
    "prompt": ("Prompt, or text to classify", ""),
    "completion": ("Answer", "Leave empty when the label is the answer."),
    "label": ("Label", "The class of a row. Splits keep its shares."),
    "context": ("Context", "Joined to the prompt after a blank line."),
    "system": ("System prompt", ""),
    "group": ("Group", "A customer or thread: its rows never stand in two splits."),
    "at": ("Time", "When it happened, for splits by time."),
    "tools": ("Tools", "Definitions of tools the model may call."),
    "history": ("Earlier turns", "A list of [question, answer] before the prompt."),
}
# Parts that only JSON and Parquet can hold: lists and objects.
NESTED_PARTS = frozenset({"messages", "tools", "history"})
FIRST_PARTS = ("messages", "prompt", "completion", "label")


class MappingForm(forms.Form):
    """Which column plays which part, and how strict to be."""

    # Every column may stay out, and the preview says what is missing: no label needs the word.
    optional_is_plain = True

    encoding = forms.ChoiceField(choices=list(ENCODINGS.items()), required=False)
    skip_bad_rows = forms.BooleanField(
        required=False,
        label="Skip bad rows",
        help_text="Without this tick one bad row stops the whole import, and nothing is stored.",
    )
    others = forms.ChoiceField(
        choices=[("", "kept with the row, never exported"), ("drop", "left out")],
        required=False,
        label="All other columns",
    )
    again = forms.BooleanField(required=False, label="Import it again")

    def __init__(self, *args: Any, layout: Layout, repeats: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        columns = [("", "—"), *((name, name) for name in layout.columns)]
        for name, (label, hint) in PARTS.items():
            if name in NESTED_PARTS and layout.format not in ("jsonl", "parquet"):
                continue
            self.fields[name] = forms.ChoiceField(
                choices=columns, required=False, label=label, help_text=hint
            )
        if not repeats:
            del self.fields["again"]

    @property
    def first_parts(self) -> list[forms.BoundField]:
        """The columns nearly every file needs."""
        return [self[name] for name in FIRST_PARTS if name in self.fields]

    @property
    def other_parts(self) -> list[forms.BoundField]:
        """The columns some files have."""
        names = (*(name for name in PARTS if name not in FIRST_PARTS), "others")
        return [self[name] for name in names if name in self.fields]

    @property
    def mapping(self) -> ColumnMapping:
        """The columns chosen."""
        return ColumnMapping.from_json(self.cleaned_data)

    def refuse(self, error: BadInput) -> None:
        """Put a service's sentence at its field, or at the top."""
        self.add_error(error.field if error.field in self.fields else None, str(error))


class ExampleForm(forms.Form):
    """The text of one row. `edition` says which state of it the person saw."""

    edition = forms.IntegerField(widget=forms.HiddenInput, min_value=1)
    system = forms.CharField(required=False, widget=forms.Textarea(attrs={"rows": 2}), label="System prompt")
    prompt = forms.CharField(widget=forms.Textarea(attrs={"rows": 6}), strip=False)
    completion = forms.CharField(widget=forms.Textarea(attrs={"rows": 6}), strip=False, label="Answer")
    label = forms.CharField(required=False, max_length=200)

    def __init__(
        self, *args: Any, is_labelled: bool = False, known: Iterable[str] = (), **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        if is_labelled:
            # The answer of a classification is its label: one field, with the known labels offered.
            del self.fields["label"]
            names = list(known)
            self.fields["completion"].label = "Label"
            self.fields["completion"].widget = forms.TextInput(
                attrs={"list": "known-labels", "autocomplete": "off"}
            )
            self.known = names
        if not (kwargs.get("initial") or {}).get("system") and not self.data.get("system"):
            del self.fields["system"]

    def refuse(self, error: BadInput) -> None:
        """Put a service's sentence at its field, or at the top."""
        self.add_error(error.field if error.field in self.fields else None, str(error))

    @classmethod
    def of(
        cls, example: Example, *, is_labelled: bool, known: Iterable[str] = (), data: Any = None
    ) -> ExampleForm:
        """The form of one row."""
        content: Content = example.content
        initial = {
            "edition": example.edition,
            "system": content.system,
            "prompt": content.prompt,
            "completion": content.completion,
            "label": example.label,
        }
        return cls(data, initial=initial, is_labelled=is_labelled, known=known, prefix=None)

    def changes(self) -> dict[str, Any]:
        """The arguments of the edit."""
        given = self.cleaned_data
        out = {"edition": given["edition"], "prompt": given["prompt"], "completion": given["completion"]}
        for name in ("label", "system"):
            if name in self.fields:
                out[name] = given[name]
        return out


class MixForm(PressForm):
    """Which versions become one, and in what balance."""

    name = forms.CharField(max_length=200, help_text="Of the new dataset.")
    versions = forms.MultipleChoiceField(
        widget=forms.CheckboxSelectMultiple,
        label="Tasks",
        error_messages={"required": "Choose at least two versions."},
        help_text="Each keeps its own splits; its dataset's name becomes the task's.",
    )
    temperature = forms.FloatField(
        initial=2,
        min_value=1,
        max_value=100,
        help_text="1 takes every row; the higher, the less the large tasks outweigh the small ones.",
    )
    most = forms.IntegerField(
        required=False, min_value=1, label="Training rows of one task, at most", help_text="Empty: no cap."
    )
    seed = forms.CharField(max_length=60, initial="mix-1")

    def __init__(self, *args: Any, offered: Iterable[Any] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.offered = {str(v.pk): v for v in offered}
        self.fields["versions"].choices = [  # type: ignore[attr-defined]
            (key, f"{v.dataset.name}, version {v.number}: {v.n_train:,} training rows")
            for key, v in self.offered.items()
        ]

    def arguments(self) -> dict[str, Any]:
        """The arguments of the service."""
        given = {name: self.cleaned_data[name] for name in ("name", "temperature", "most", "seed")}
        chosen = [self.offered[key] for key in self.cleaned_data["versions"]]
        return {**given, "members": [(version, version.dataset.name) for version in chosen]}


class ReviewForm(PressForm):
    """Which rows people look at, and who."""

    share = forms.TypedChoiceField(
        label="Share of the rows",
        coerce=float,
        choices=[("0.1", "10%, the least"), ("0.2", "20%"), ("0.5", "50%"), ("1", "Every row")],
        initial="0.1",
        help_text="Drawn by the seed, every label in proportion: what it shows holds for the whole.",
    )
    most_needed = forms.IntegerField(
        min_value=0,
        max_value=10_000,
        initial=100,
        label="Rows that need a look, at most",
        help_text="Contradictions first, then weak scores, then other findings. They come before the sample.",
    )
    double_share = forms.TypedChoiceField(
        label="Read twice, of the sample",
        coerce=float,
        choices=[("0", "None"), ("0.1", "10%"), ("0.25", "25%"), ("1", "All of it")],
        initial="0",
        help_text="Two people read such a row apart; how far they agree is measured, and a third settles the rest.",
    )
    readers = forms.MultipleChoiceField(
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text="They take turns. Without a tick anybody takes the next row.",
    )

    def __init__(self, *args: Any, people: Iterable[Any] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.people = {str(person.pk): person for person in people}
        self.fields["readers"].choices = [(key, str(p)) for key, p in self.people.items()]  # type: ignore[attr-defined]

    def arguments(self) -> dict[str, Any]:
        """The arguments of the service."""
        given = self.cleaned_data
        return {
            "share": given["share"],
            "most_needed": given["most_needed"],
            "double_share": given["double_share"],
            "readers": [self.people[key] for key in given["readers"]],
        }


def _percent(value: Decimal) -> Fraction:
    return Fraction(str(value)) / 100


class FreezeForm(PressForm):
    """How a version is made."""

    train = forms.DecimalField(label="Training, %", min_value=0, max_value=100, decimal_places=2, initial=80)
    validation = forms.DecimalField(
        label="Validation, %", min_value=0, max_value=100, decimal_places=2, initial=10
    )
    test = forms.DecimalField(label="Test, %", min_value=0, max_value=100, decimal_places=2, initial=10)
    strategy = forms.ChoiceField(
        choices=[(s.value, s.label) for s in Strategy], initial=Strategy.STRATIFIED, label="How to split"
    )
    size_test_by_power = forms.BooleanField(
        required=False,
        initial=True,
        label="Raise the test share by power",
        help_text="As many test rows as see 75% → 85% with 80% power, at most 30% of all.",
    )
    keep_groups = forms.BooleanField(
        required=False,
        initial=True,
        label="Keep groups together",
        help_text="Rows of one customer or thread stay in one split. Near-duplicates always do.",
    )
    n_folds = forms.TypedChoiceField(
        required=False,
        coerce=int,
        empty_value=0,
        choices=[(0, "No folds"), (5, "5 folds"), (10, "10 folds")],
        initial=0,
        label="Cross-validation",
        help_text="For fewer than 2,000 rows: every row outside the test is validated on once. Kept in the version.",
    )
    fresh_test = forms.BooleanField(
        required=False,
        label="Draw the test from fresh rows",
        help_text="Only rows that no version held before. For a test that was looked at too often.",
    )
    seed = forms.CharField(
        max_length=60, help_text="The same rows and seed give the same split on any machine. It is recorded."
    )
    notes = forms.CharField(required=False, widget=forms.Textarea(attrs={"rows": 2}))
    override_reason = forms.CharField(
        required=False,
        label="Reason to freeze all the same",
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text="At least 10 characters. It stays on the version for ever.",
    )

    def __init__(
        self, *args: Any, needs_reason: bool = False, has_versions: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        if not has_versions:
            del self.fields["fresh_test"]
        if not needs_reason:
            # The gate counts copies and the freeze does not, so a reason may be wanted all the same.
            self.fields[
                "override_reason"
            ].help_text = "At least 10 characters. Kept only if fewer than 500 different rows are left."

    def arguments(self) -> dict[str, Any]:
        """The arguments of the service. Shares that do not add up are refused there, in its words."""
        given = dict(self.cleaned_data)
        given.pop("press", None)
        shares = tuple(str(_percent(given.pop(name))) for name in ("train", "validation", "test"))
        return {**given, "ratios": shares}


class LabelForm(forms.Form):
    """A label and its new name. Written and not chosen, because there may be thousands."""

    from_label = forms.CharField(
        max_length=200,
        label="Label",
        widget=forms.TextInput(attrs={"list": "label-names", "autocomplete": "off"}),
    )
    to_label = forms.CharField(
        max_length=200,
        label="New name",
        help_text="The name of another label merges the two.",
        widget=forms.TextInput(attrs={"list": "label-names", "autocomplete": "off"}),
    )

    def refuse(self, error: Exception) -> None:
        """Put a service's sentence at its field, or at the top."""
        field = getattr(error, "field", "")
        self.add_error(field if field in self.fields else None, str(error))


class QualityForm(PressForm):
    """Which model looks at which rows, at once or in batches, for at most how much."""

    model = forms.ChoiceField(choices=[], help_text="A fast model is enough for this.")
    how = forms.ChoiceField(choices=[], label="Which rows")
    size = forms.IntegerField(min_value=1, initial=50, label="Rows in a sample")
    in_batches = forms.BooleanField(
        required=False,
        label="In batches, at half the price",
        help_text="Answers come within a day, mostly within the hour. A broken reply gets no second try.",
    )
    cap = forms.DecimalField(
        min_value=0,
        max_value=1000,
        max_digits=10,
        decimal_places=4,
        label="Cap in dollars",
        help_text="Never crossed, whatever happens. Rows without room under it stay unscored.",
    )

    def __init__(
        self,
        *args: Any,
        models: Iterable[str] = (),
        hows: Mapping[str, str] | None = None,
        most: int = 500,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.fields["model"].choices = [(name, name) for name in models]  # type: ignore[attr-defined]
        self.fields["how"].choices = list((hows or {}).items())  # type: ignore[attr-defined]
        self.fields["size"].max_value = most  # type: ignore[attr-defined]
        self.fields["size"].validators.append(MaxValueValidator(most))


# Labels that a form offers to tick, at most.
MOST_TICKS = 100


class WriteForm(PressForm):
    """For which labels a model writes examples, how many, which one, for at most how much."""

    below = forms.IntegerField(
        min_value=1,
        max_value=100_000,
        label="Thin is a label with fewer rows than",
        help_text="Ticks those labels anew when you quote.",
    )
    labels = forms.MultipleChoiceField(choices=[], widget=forms.CheckboxSelectMultiple)
    rows_a_label = forms.IntegerField(min_value=1, label="New rows for each label")
    model = forms.ChoiceField(choices=[])
    seed = forms.CharField(
        max_length=60,
        help_text="Draws the rows that are shown as examples. The same seed asks the same again, which costs nothing.",
    )
    cap = forms.DecimalField(
        min_value=0,
        max_value=1000,
        max_digits=10,
        decimal_places=4,
        label="Cap in dollars",
        help_text="Never crossed, whatever happens. What was written by then is kept.",
    )

    def __init__(
        self,
        *args: Any,
        labels: Mapping[str, int] | None = None,
        models: Iterable[str] = (),
        most: int = 200,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        counts = sorted((labels or {}).items(), key=lambda item: (item[1], item[0]))
        # Of thousands the thinnest are shown, and whatever was chosen.
        ticked = set((kwargs.get("initial") or {}).get("labels", ()))
        if self.is_bound:
            ticked |= set(self.fields["labels"].widget.value_from_datadict(self.data, None, "labels") or ())
        names = [(name, n) for name, n in counts if name]
        shown = names[:MOST_TICKS] + [pair for pair in names[MOST_TICKS:] if pair[0] in ticked]
        self.n_hidden = len(names) - len(shown)
        # Isolated, so that a label written from right to left does not turn its count around.
        self.fields["labels"].choices = [(name, f"\u2068{name}\u2069 ({n:,})") for name, n in shown]  # type: ignore[attr-defined]
        if self.n_hidden:
            self.fields[
                "labels"
            ].help_text = f"The {MOST_TICKS} thinnest; {self.n_hidden:,} with more rows are not shown."
        self.fields["model"].choices = [(name, name) for name in models]  # type: ignore[attr-defined]
        self.fields["rows_a_label"].max_value = most  # type: ignore[attr-defined]
        self.fields["rows_a_label"].validators.append(MaxValueValidator(most))
