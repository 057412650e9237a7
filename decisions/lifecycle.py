"""The six stages of every use case, in order, and the one next step.

A registry: each floor offers the states of its own stages, the roof registers them, pages here draw them all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from django.db.models import prefetch_related_objects
from django.urls import reverse

from decisions import reading
from decisions.models import UseCase

State = Literal["done", "now", "next", "warn", "todo", "later"]


@dataclass(frozen=True, slots=True)
class StageState:
    """How one stage of one use case stands, in words and figures, and what a person can do about it.

    `action` is the text of the button that leads to `url`; `blocker` says what must come first.
    """

    state: State
    headline: str
    url: str = ""
    action: str = ""
    blocker: str = ""


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage: `states` answers for many use cases at once, in at most three queries."""

    key: str
    title: str
    states: Callable[[list[UseCase]], dict[int, StageState]]


@dataclass(frozen=True, slots=True)
class NextStep:
    """The one thing to do next: where, and the words on the button."""

    stage: Stage
    state: StageState
    action: str
    url: str


ORDER: tuple[tuple[str, str], ...] = (
    ("decide", "Decide"),
    ("prepare", "Prepare"),
    ("train", "Train"),
    ("evaluate", "Evaluate"),
    ("ship", "Ship"),
    ("watch", "Watch"),
)
_registered: dict[str, Stage] = {}


def register_stages(stages: Iterable[Stage]) -> None:
    """Add stages to the rail; one registered before under the same key is replaced. Raises ValueError for a
    key that is not one of the six."""
    known = {key for key, _ in ORDER}
    for stage in stages:
        if stage.key not in known:
            raise ValueError(f"There is no stage {stage.key!r}; the six are {', '.join(sorted(known))}.")
        _registered[stage.key] = stage


def registered_stages() -> list[Stage]:
    """The six stages in their order; one that no floor offers yet says so."""
    return [_registered.get(key) or Stage(key, title, _nothing_yet) for key, title in ORDER]


def stages_for(use_cases: Sequence[UseCase]) -> dict[int, list[tuple[Stage, StageState]]]:
    """Six (stage, state) pairs for each use case, by its id. The number of queries does not grow with the list."""
    rows = list(use_cases)
    rails: dict[int, list[tuple[Stage, StageState]]] = {row.pk: [] for row in rows}
    for stage in registered_stages():
        states = stage.states(rows) if rows else {}
        for row in rows:
            rails[row.pk].append((stage, states.get(row.pk, NOT_YET)))
    return rails


def next_step(rail: Sequence[tuple[Stage, StageState]]) -> NextStep | None:
    """The earliest stage that asks for something; else the one at work; else the first that could be begun."""
    asking = [(stage, s) for stage, s in rail if s.url and s.action]
    for wanted in (("now", "warn", "next"), ("todo",)):
        for stage, state in asking:
            if state.state in wanted:
                return NextStep(stage, state, state.action, state.url)
        for stage, state in rail:
            # At work by itself: nothing to press but the way to look at it.
            if state.state == "now" and state.url:
                return NextStep(stage, state, f"See {stage.title.lower()}", state.url)
    return None


def decide_states(use_cases: list[UseCase]) -> dict[int, StageState]:
    """The state of Decide for each use case: answered, open, or answered on facts that have changed since.

    No query where the rows come from `UseCase.objects.with_answers()`.
    """
    prefetch_related_objects(use_cases, "latest_decision", "latest_roi")
    return {use_case.pk: _decide_state(use_case) for use_case in use_cases}


def _decide_state(use_case: UseCase) -> StageState:
    latest = use_case.latest_decision
    if latest is None:
        ask = reverse("decisions:decision-preview", args=[use_case.pk])
        return StageState("next", "Not decided yet", ask, "See the answer")
    url = reverse("decisions:decision-detail", args=[use_case.pk, latest.number])
    other = reading.now_of(use_case).other
    if other is not None:
        ask = reverse("decisions:decision-preview", args=[use_case.pk])
        return StageState(
            "warn", f"Facts changed: now {other.recommendation.inline}", ask, "Look at the new answer"
        )
    return StageState("done", latest.headline, url)


DECIDE = Stage("decide", "Decide", decide_states)
NOT_YET = StageState("later", "")


def _nothing_yet(use_cases: list[UseCase]) -> dict[int, StageState]:
    return {row.pk: NOT_YET for row in use_cases}
