"""Two people change one use case: whose change is whose, told apart by what the form began with.

Nothing is saved here. What only one side changed is kept for that side; what both changed is shown to choose from.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.http import QueryDict

from decisions.forms import UseCaseForm, initial_of
from decisions.models import UseCase

_FIGURE = re.compile(r"-?[0-9]+(\.[0-9]+)?")


@dataclass(frozen=True, slots=True)
class Merged:
    """The form with both sides' changes on the version now seen. `differing` holds (label, mine, saved by the other),
    `theirs` (label, value) of what only the other changed."""

    form: UseCaseForm
    differing: list[tuple[str, str, str]]
    theirs: list[tuple[str, str]]


def begun_with(use_case: UseCase) -> str:
    """What a form opened now begins with, for its hidden field: every answer in words."""
    return json.dumps({name: _shown(value) for name, value in initial_of(use_case).items()})


def merge(posted: QueryDict, form: UseCaseForm, use_case: UseCase) -> Merged:
    """The posted form joined with what `use_case` now holds. Without knowledge of its beginning (a form of before, or
    nonsense in the hidden field) every difference is the person's to choose."""
    begun = _read(posted.get("begun", ""))
    initial, mine = initial_of(use_case), form.cleaned_data
    fresh = UseCaseForm.of(use_case)
    data = posted.copy()
    data["version"] = str(use_case.version)
    data["begun"] = begun_with(use_case)
    differing, theirs = [], []
    for name in form.fields:
        if name == "version" or _shown(mine[name]) == _shown(initial[name]):
            continue
        label = str(form[name].label)
        if begun.get(name) == _shown(mine[name]):
            theirs.append((label, _shown(initial[name])))
            _put(data, name, fresh[name].value())
        elif begun.get(name) != _shown(initial[name]):
            differing.append((label, _shown(mine[name]), _shown(initial[name])))
    again = UseCaseForm(data, team=use_case.team)
    again.is_valid()
    return Merged(again, differing, theirs)


def _put(data: QueryDict, name: str, value: Any) -> None:
    """Write a field's value as a browser sends it: what is not ticked is not sent."""
    if value is False:
        data.pop(name, None)
    else:
        data[name] = "on" if value is True else "" if value is None else str(getattr(value, "pk", value))


def _read(text: str) -> dict[str, str]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _shown(value: Any) -> str:
    if value is None or value == "":
        return "nothing"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return "; ".join(f"{row['name']}: {row['definition']}" for row in value) or "nothing"
    text = str(value)
    # 0.50 and 0.5 are one figure; not a digit of a large one is lost, and a name like "1e9" stays a name.
    return f"{Decimal(text).normalize():f}" if _FIGURE.fullmatch(text) else text
