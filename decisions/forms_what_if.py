"""The facts as a what-if form and as a blind reading: the same fields as the use case's own form, saved by neither."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, cast

from django import forms

from decisions import reading
from decisions.domain.facts import FACT_NAMES, NEEDS, Facts
from decisions.domain.tree import Answers
from decisions.forms import GROUPS, UseCaseForm

FACTS: tuple[str, ...] = FACT_NAMES[1:]
ANSWERS: tuple[str, ...] = ("prompt_solves_it", "examples_in_hand", "expected_gain")
# Fields people type into: the only ones whose content can be wrong.
TYPED: tuple[str, ...] = ("volume_per_day", "examples_in_hand", "expected_gain")


def _fields(names: tuple[str, ...]) -> dict[str, forms.Field]:
    return {name: copy.deepcopy(UseCaseForm.base_fields[name]) for name in names}


class FactsForm(forms.Form):
    """The fourteen facts beside the name."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields.update(_fields(FACTS))

    def groups(self) -> list[tuple[str, list[Any]]]:
        """The fields under the headings of the use case's form."""
        return [
            (heading, found)
            for heading, _, names in GROUPS
            if (found := [self[name] for name in names if name in self.fields])
        ]

    def facts(self, name: str) -> Facts:
        """The cleaned facts of the use case called `name`."""
        return Facts.from_mapping({"name": name, **{field: self.cleaned_data[field] for field in FACTS}})


class BlindForm(FactsForm):
    """One member's own reading: nothing is filled in, so that nothing leads."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in FACTS:
            field = self.fields[name]
            if isinstance(field, forms.ChoiceField):
                field.choices = [("", "Choose …"), *_choices(field)]


class WhatIfForm(FactsForm):
    """The facts and the tree's answers, each with the saved one beside it."""

    # Marks a whole form: a box that is not ticked is not sent, and a link names only what it changes.
    whole = forms.CharField(widget=forms.HiddenInput, required=False)

    def __init__(self, data: Mapping[str, Any], *, saved: Mapping[str, Any]) -> None:
        super().__init__(data)
        self.fields.update(_fields(ANSWERS))
        self.saved = saved
        for name in (*FACTS, *ANSWERS):
            self.fields[name].help_text = f"Saved: {in_words(name, saved[name])}"
            if name in TYPED:
                self.fields[name].widget.attrs.update({"inputmode": "decimal", "autocomplete": "off"})

    @classmethod
    def of(cls, query: Mapping[str, Any], inputs: Mapping[str, Any]) -> WhatIfForm:
        """The form of a query: whole as the page sends it, or the saved facts with what a link changes."""
        saved = {**inputs["facts"], **inputs["answers"]}
        if query.get("whole"):
            return cls(query, saved=saved)
        data = {name: _as_sent(name, saved[name]) for name in (*FACTS, *ANSWERS)}
        for name, value in query.items():
            if name in data:
                data[name] = "on" if name in NEEDS and value in ("on", "yes", "1") else value
                if name in NEEDS and data[name] != "on":
                    del data[name]
        return cls({k: v for k, v in {**data, "whole": "1"}.items() if v is not None}, saved=saved)

    def answers(self, inputs: Mapping[str, Any]) -> Answers:
        """The cleaned answers; what the form does not ask stays as it is saved."""
        data = self.cleaned_data
        gain = data["expected_gain"]
        asked = {
            "prompt_solves_it": data["prompt_solves_it"],
            "examples_in_hand": data["examples_in_hand"],
            "expected_gain": None if gain is None else float(gain / 100),
        }
        sources = {k: v for k, v in inputs["sources"].items() if inputs["answers"].get(k) == asked.get(k)}
        return Answers(**{**inputs["answers"], **asked}, sources=sources)

    def changed(self) -> dict[str, str]:
        """What differs from the saved facts, as the query of a link."""
        found = {}
        for name in (*FACTS, *ANSWERS):
            now, was = self.cleaned_data[name], self.saved[name]
            if name == "expected_gain":
                was = None if was is None else Decimal(str(was)) * 100
            if now != was:
                found[name] = as_query(now)
        return found


def as_query(value: Any) -> str:
    """A fact's value as a link carries it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def _as_sent(name: str, value: Any) -> Any:
    """A saved value as a browser sends it; None for what it does not send."""
    if name in NEEDS:
        return "on" if value else None
    if name == "prompt_solves_it":
        return {True: "yes", False: "no", None: ""}[value]
    if name == "expected_gain":
        return "" if value is None else f"{Decimal(str(value)) * 100:f}".rstrip("0").rstrip(".")
    return "" if value is None else str(value)


def in_words(name: str, value: Any) -> str:
    """A fact's value in the words of its field, as in "high", "yes", "5,000"."""
    field = UseCaseForm.base_fields[name]
    if isinstance(field, forms.ChoiceField):
        sent = _as_sent(name, value)
        return str(dict(_choices(field)).get(sent, sent)).lower()
    return reading.plain(name, value)


def _choices(field: forms.ChoiceField) -> list[tuple[Any, Any]]:
    # Django types choices as anything that may become some; here they are pairs.
    return list(cast(Iterable[tuple[Any, Any]], field.choices))
