"""What people fill in for a return. Each figure is one value or three; money is dollars and shares are per cent here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

from django import forms

from decisions.domain.plans import MOST_MONTHS, PLAN_FIGURES, SIDES, figure_of
from decisions.domain.ranges import Range, parse
from decisions.domain.serving import FIGURES, Figure, Shape
from decisions.forms import HELP
from decisions.services_returns import SCENARIO_LENGTH

# Signs that may stand at a figure, because the field's unit is theirs.
SIGNS = {"usd": re.compile(r"\$(?=\s?[-−\d.])"), "share": re.compile(r"(?<=[\d.])\s?%(?!\w)")}
SCALE = {"usd": Fraction(1_000_000), "share": Fraction(1, 100), "number": Fraction(1)}
LABELS = {
    "monthly_volume": "Requests a month",
    "setup_cost": "Set-up, $",
    "training_cost": "Training, $",
    "monthly_maintenance": "Upkeep a month, $",
    "hour_of_work": "An hour of work costs, $",
    "data_hours": "Hours of work on the data, once",
    "review_hours": "Hours of review a month",
    "upkeep_hours": "Hours of upkeep a month",
    "quality_improvement": "Better answers, %",
    "value_per_improved": "An improved answer is worth, $",
    "cost_per_request": "A request costs, $",
    "input_tokens": "Input tokens a request",
    "output_tokens": "Output tokens a request",
    "input_price": "A million input tokens, $",
    "output_price": "A million output tokens, $",
    "cached_share": "Input read from the cache, %",
    "cached_price_share": "A cached token costs, % of the price",
    "batch_share": "Requests sent as batches, %",
    "batch_price_share": "A batch costs, % of the price",
    "hour": "A GPU hour, $",
    "replicas": "Replicas kept ready",
    "idle_hours_a_day": "Idle hours a day",
    "idle_share": "Replicas left on while idle, %",
    "requests_an_hour": "Requests a replica answers in an hour",
    "unit_monthly": "A unit a month, $",
    "units": "Units bought",
    "unit_requests_a_month": "Requests a unit carries a month",
}
HELPS = {
    "setup_cost": "Preparing, evaluating, integrating: what is paid for.",
    "training_cost": "A quote, or filled in from the latest training run.",
    "monthly_maintenance": "Watching, hosting, training again.",
    "quality_improvement": "How many more answers are right than with the best prompt. Filled in once it is measured.",
    "value_per_improved": HELP["value_per_improved"],
    "idle_share": "100: nothing is scaled down. 0: all of it while idle.",
    "requests_an_hour": "Empty: one replica is enough. Else more are counted as requests grow.",
    "unit_requests_a_month": "Empty: the units bought are enough.",
}
ONCE = ("setup_cost", "training_cost", "data_hours")
MONTHLY = ("monthly_maintenance", "review_hours", "upkeep_hours", "hour_of_work")
QUALITY = ("quality_improvement", "value_per_improved")
# What must be answered; every other figure has a standard.
ALWAYS = ("monthly_volume", "setup_cost", "monthly_maintenance", "quality_improvement", "value_per_improved")
MUST = {
    Shape.PER_REQUEST: ("cost_per_request",),
    Shape.PER_TOKEN: ("input_tokens", "output_tokens", "input_price", "output_price"),
    Shape.GPU_HOUR: ("hour",),
    Shape.PROVISIONED: ("unit_monthly",),
}


def short(name: str) -> str:
    """A figure's name on the form: the unit stands in the label."""
    return name.removesuffix("_microusd")


def field_name(name: str) -> str:
    """The form field of a plan's figure: "current.hour_microusd" is "current_hour"."""
    side, dot, figure = name.partition(".")
    if name.endswith("_cost_per_request_microusd") or figure == "cost_per_request_microusd":
        return f"{side if dot else name.removesuffix('_cost_per_request_microusd')}_cost"
    if name.endswith("_serving"):
        return f"{name.removesuffix('_serving')}_shape"
    return f"{side}_{short(figure)}" if dot else short(name)


class RangeField(forms.CharField):
    """One figure, or low, likely and high in the same field: "3000" or "2000 3000 5000". The value is a Range or None."""

    def __init__(self, figure: Figure, **kwargs: Any) -> None:
        self.figure = figure
        kwargs.setdefault("required", False)
        widget = forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"})
        super().__init__(widget=widget, max_length=160, **kwargs)

    def clean(self, value: Any) -> Range | None:
        """The range in the plan's unit; raises with one sentence."""
        text = super().clean(value)
        if not text:
            return None
        try:
            sign = SIGNS.get(self.figure.unit)
            found = parse(sign.sub("", text) if sign else text).times(SCALE[self.figure.unit])
            self.figure.check(found)
        except ValueError as error:
            words = str(error)
            raise forms.ValidationError(f"{words[0].upper()}{words[1:]}.") from None
        return found


def field_text(figure: Figure, value: Any) -> str:
    """A plan's figure as its field shows it."""
    found = Range.of(value)
    parts = [found.likely] if found.is_point else [found.low, found.likely, found.high]
    return " ".join(_text(part / SCALE[figure.unit], figure.unit) for part in parts)


def _text(value: Fraction, unit: str) -> str:
    text = f"{Decimal(value.numerator) / Decimal(value.denominator):f}"
    if unit == "share":
        text = f"{Decimal(text).quantize(Decimal('0.0001')):f}"
    if "." not in text:
        return text
    text = text.rstrip("0").rstrip(".")
    whole, point, part = text.partition(".")
    return f"{whole}.{part.ljust(2, '0')}" if point and unit == "usd" else text or "0"


def _fields() -> dict[str, forms.Field]:
    found: dict[str, forms.Field] = {}
    for name, figure in PLAN_FIGURES.items():
        key = short(name)
        found[key] = RangeField(
            figure, label=LABELS[key], help_text=HELPS.get(key, ""), required=key in ALWAYS
        )
    for side in SIDES:
        found[f"{side}_shape"] = forms.ChoiceField(
            label="Today is billed by" if side == "current" else "Fine-tuned is billed by",
            choices=[(shape.value, shape.label) for shape in Shape],
            required=False,
        )
        for shape in Shape:
            for name, figure in FIGURES[shape].items():
                label = LABELS[short(name)]
                if shape is Shape.PER_REQUEST:
                    label = (
                        "A request costs today, $"
                        if side == "current"
                        else "A request would cost fine-tuned, $"
                    )
                found[field_name(f"{side}.{name}")] = RangeField(
                    figure, label=label, help_text=HELPS.get(short(name), "")
                )
    return found


@dataclass(frozen=True, slots=True)
class Read:
    """What a field's slot says: its error, or how three figures were read."""

    id: str
    error: str
    said: str


class RoiForm(forms.Form):
    """The assumptions of a return. Each is a figure somebody can defend, or says that it is a guess."""

    horizon_months = forms.IntegerField(
        label="Months to look at",
        min_value=1,
        max_value=MOST_MONTHS,
        widget=forms.NumberInput(attrs={"inputmode": "numeric"}),
    )
    retires_on = forms.DateField(
        label="The base model retires on",
        help_text="Ends the months early. Empty: not known.",
        required=False,
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
    )
    scenario = forms.CharField(
        label="Keep as scenario",
        help_text="Empty: the plan the decision rests on. A name keeps it beside, to be compared.",
        max_length=SCENARIO_LENGTH,
        required=False,
        widget=forms.TextInput(attrs={"list": "scenarios", "autocomplete": "off"}),
    )
    note = forms.CharField(
        label="Note", required=False, max_length=2000, widget=forms.Textarea(attrs={"rows": 2}),
        help_text="Where the figures come from.",
    )  # fmt: skip

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields.update(_fields())
        for name in self.fields:
            # The slot below the field is filled while typing, so it is always there.
            ids = [f"id_{name}_helptext"] if self.fields[name].help_text else []
            self.fields[name].widget.attrs["aria-describedby"] = " ".join([*ids, f"id_{name}_said"])

    @classmethod
    def of(cls, values: Mapping[str, Any], *, scenario: str = "") -> RoiForm:
        """The form filled in with `reading.standard_assumptions` or a saved analysis' inputs."""
        initial: dict[str, Any] = {
            "scenario": scenario,
            "horizon_months": values.get("horizon_months"),
            "retires_on": values.get("retires_on"),
        }

        def put(name: str, value: Any) -> None:
            initial[field_name(name)] = field_text(figure_of(name), value)

        for name in PLAN_FIGURES:
            if values.get(name) is not None:
                put(name, values[name])
        for side in SIDES:
            serving = values.get(f"{side}_serving")
            initial[f"{side}_shape"] = serving["shape"] if serving else Shape.PER_REQUEST.value
            if serving:
                for name, value in serving.items():
                    if name != "shape":
                        put(f"{side}.{name}", value)
            else:
                put(f"{side}.cost_per_request_microusd", values[f"{side}_cost_per_request_microusd"])
        return cls(initial=initial)

    def clean(self) -> dict[str, Any]:
        """Only the figures of the chosen shapes count: what stands in a folded field disturbs nobody."""
        data = super().clean() or {}
        for side in SIDES:
            chosen = Shape(data.get(f"{side}_shape") or Shape.PER_REQUEST)
            for shape in Shape:
                for name in FIGURES[shape]:
                    field = field_name(f"{side}.{name}")
                    if shape is not chosen:
                        self.errors.pop(field, None)
                        data.pop(field, None)
                    elif data.get(field) is None and field not in self.errors and short(name) in MUST[shape]:
                        self.add_error(field, "This field is required.")
        return data

    def assumptions(self) -> dict[str, Any]:
        """The cleaned figures as `services_returns` takes them."""
        data = self.cleaned_data
        values: dict[str, Any] = {
            name: data[short(name)].as_plain() for name in PLAN_FIGURES if data.get(short(name)) is not None
        }
        for side in SIDES:
            shape = Shape(data.get(f"{side}_shape") or Shape.PER_REQUEST)
            figures = {
                name: data[field_name(f"{side}.{name}")].as_plain()
                for name in FIGURES[shape]
                if data.get(field_name(f"{side}.{name}")) is not None
            }
            if shape is Shape.PER_REQUEST:
                values[f"{side}_cost_per_request_microusd"] = figures["cost_per_request_microusd"]
            else:
                values[f"{side}_serving"] = {"shape": shape.value, **figures}
        values["horizon_months"] = data["horizon_months"]
        # An emptied date is an answer, too: not the one that was measured.
        values["retires_on"] = data["retires_on"].isoformat() if data["retires_on"] else ""
        return values

    def reads(self) -> list[Read]:
        """What stands below each field now, by its slot."""
        data = getattr(self, "cleaned_data", {})
        found = []
        for name, field in self.fields.items():
            errors: Any = self.errors.get(name, []) if self.is_bound else []
            value, said = data.get(name), ""
            if isinstance(field, RangeField) and isinstance(value, Range) and not value.is_point:
                low, likely, high = map(field.figure.text, (value.low, value.likely, value.high))
                said = f"{low} to {high}, likely {likely}"
            found.append(Read(f"id_{name}_said", " ".join(map(str, errors)), said))
        return found

    def read_by_name(self) -> dict[str, Read]:
        """The slots by field, for the page."""
        return dict(zip(self.fields, self.reads(), strict=True))

    def once(self) -> list[Any]:
        """The fields of what is paid once."""
        return [self[field] for field in ONCE]

    def monthly(self) -> list[Any]:
        """The fields of what each month costs beside serving."""
        return [self[field] for field in MONTHLY]

    def quality(self) -> list[Any]:
        """The fields of what better answers are worth."""
        return [self[field] for field in QUALITY]

    def sides(self) -> list[dict[str, Any]]:
        """Both sides: the choice of a shape, and the fields of every shape."""
        return [
            {
                "side": side,
                "title": "Today, with the prompt" if side == "current" else "Fine-tuned",
                "shape": self[f"{side}_shape"],
                "shapes": [
                    (shape.value, [self[field_name(f"{side}.{name}")] for name in FIGURES[shape]])
                    for shape in Shape
                ],
            }
            for side in SIDES
        ]
