"""The rules of a rollout: its steps, its guardrails, and what to do next. Knows no table, no model and no clock."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from deployments.domain import sequential
from deployments.domain.sequential import Count, Difference, Sums

HOUR = 3600
# Chance of taking back a candidate that is as good as the baseline, over all guardrails, steps and looks together.
ALPHA = 0.05
ERRORS_ALLOWED = 4
NOTHING_COUNTED, NOTHING_SUMMED = Count(0, 0), Sums(0, 0.0, 0.0)


class RolloutState(StrEnum):
    """Where a rollout stands. The last two are for good."""

    SCHEDULED = "scheduled"
    RUNNING = "running"
    PAUSED = "paused"
    PROMOTED = "promoted"
    ROLLED_BACK = "rolled back"

    @property
    def is_final(self) -> bool:
        """Whether nothing more happens to it."""
        return self in (RolloutState.PROMOTED, RolloutState.ROLLED_BACK)

    @property
    def tone(self) -> str:
        """The pill it is shown in."""
        return {"running": "live", "paused": "warn", "promoted": "good", "rolled back": "bad"}.get(self, "")


class Action(StrEnum):
    """What may happen to a rollout."""

    START = "start"
    WAIT = "wait"
    STEP = "step"
    PAUSE = "pause"
    RESUME = "resume"
    PROMOTE = "promote"
    ROLL_BACK = "roll back"


OPEN = (RolloutState.SCHEDULED, RolloutState.RUNNING, RolloutState.PAUSED)
# Who may follow whom, and by which action.
MOVES: Mapping[RolloutState, Mapping[Action, RolloutState]] = {
    RolloutState.SCHEDULED: {
        Action.START: RolloutState.RUNNING,
        Action.ROLL_BACK: RolloutState.ROLLED_BACK,
    },
    RolloutState.RUNNING: {
        Action.STEP: RolloutState.RUNNING,
        Action.PAUSE: RolloutState.PAUSED,
        Action.PROMOTE: RolloutState.PROMOTED,
        Action.ROLL_BACK: RolloutState.ROLLED_BACK,
    },
    RolloutState.PAUSED: {
        Action.RESUME: RolloutState.RUNNING,
        Action.STEP: RolloutState.RUNNING,
        Action.PROMOTE: RolloutState.PROMOTED,
        Action.ROLL_BACK: RolloutState.ROLLED_BACK,
    },
    RolloutState.PROMOTED: {},
    RolloutState.ROLLED_BACK: {},
}


class Phase(StrEnum):
    """What a guardrail says. No data is its own answer, and so is not knowing."""

    PASSED = "passed"
    INCONCLUSIVE = "inconclusive"
    NO_DATA = "too few"
    FAILED = "failed"

    @property
    def tone(self) -> str:
        """The pill it is shown in."""
        return {"passed": "good", "failed": "bad", "inconclusive": "warn"}.get(self, "")


_WORST_LAST = (Phase.PASSED, Phase.INCONCLUSIVE, Phase.NO_DATA, Phase.FAILED)


@dataclass(frozen=True, slots=True)
class Step:
    """One rung: the candidate's share (0 to 1), how long at least, how many requests at least in the smaller arm."""

    share: float
    hold: timedelta
    min_sample: int
    errors_allowed: int = ERRORS_ALLOWED

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise ValueError(f"a step's share lies above 0 and up to 100 %, it is {self.share:.2%}")
        if not timedelta() <= self.hold <= timedelta(days=90):
            raise ValueError("a step is held between 0 seconds and 90 days")
        if not 0 <= self.min_sample <= 10_000_000:
            raise ValueError("a step's sample lies between 0 and 10,000,000 requests")

    def as_dict(self) -> dict[str, Any]:
        """As it is stored: share, seconds, requests."""
        return {"share": self.share, "hold_s": self.hold.total_seconds(), "min_sample": self.min_sample}


def read_steps(stored: Sequence[Mapping[str, Any]]) -> tuple[Step, ...]:
    """Steps from stored data. Raises ValueError with a sentence: none, too many, a share that does not grow."""
    if not 1 <= len(stored) <= 20:
        raise ValueError("a rollout has 1 to 20 steps")
    steps = []
    for number, row in enumerate(stored, 1):
        try:
            share, hold_s = float(row["share"]), float(row["hold_s"])
            if not math.isfinite(hold_s):
                raise ValueError("the time must be a number")
            steps.append(Step(share, timedelta(seconds=hold_s), int(row["min_sample"])))
        except (KeyError, TypeError, OverflowError):
            raise ValueError(f"step {number} needs a share, a time and a sample") from None
        except ValueError as error:
            raise ValueError(f"step {number}: {error}") from None
    for number, (before, after) in enumerate(itertools.pairwise(steps), 2):
        if after.share <= before.share:
            raise ValueError(f"step {number} must have a larger share than the step before it")
    return tuple(steps)


@dataclass(frozen=True, slots=True)
class Schedule:
    """A ready-made ladder. `promotes`: whether the end of its last step makes the candidate production by itself."""

    name: str
    title: str
    text: str
    steps: tuple[Step, ...]
    promotes: bool


def _ladder(*rungs: tuple[float, float, int]) -> tuple[Step, ...]:
    return tuple(Step(share, timedelta(seconds=hold_s), sample) for share, hold_s, sample in rungs)


SCHEDULES: Mapping[str, Schedule] = {
    schedule.name: schedule
    for schedule in (
        Schedule(
            "canary",
            "Canary over a day",
            "5 % from the start, 10 % after 1 hour, 25 % after 4, 50 % after 8, everything after 24.",
            _ladder(
                (0.05, 1 * HOUR, 300), (0.10, 3 * HOUR, 300), (0.25, 4 * HOUR, 300), (0.50, 16 * HOUR, 300)
            ),
            True,
        ),
        Schedule(
            "ab",
            "A/B test",
            "10 % get the candidate until enough was seen; then a person decides.",
            _ladder((0.10, 24 * HOUR, 906)),
            False,
        ),
        Schedule(
            "demo",
            "Demonstration in seconds",
            "The same ladder in seconds, for trying it out. Not for real traffic.",
            _ladder((0.05, 5, 40), (0.10, 5, 40), (0.25, 5, 60), (0.50, 5, 100)),
            True,
        ),
    )
}


class Measure(StrEnum):
    """What a guardrail looks at."""

    QUALITY = "quality"
    LATENCY = "latency"
    ERRORS = "errors"

    @property
    def label(self) -> str:
        """Its line in the table."""
        return {
            "quality": "Right answers",
            "latency": "Typical latency",
            "errors": "Requests without an answer",
        }[self]

    @property
    def higher_is_better(self) -> bool:
        """The direction: more right answers are good, more time and more failures are not (D22)."""
        return self is Measure.QUALITY

    @property
    def unit(self) -> str:
        """Shares differ by points, latency by a part of the baseline's."""
        return "percent" if self is Measure.LATENCY else "points"


@dataclass(frozen=True, slots=True)
class Guardrail:
    """How much worse than the baseline is tolerated: points as a share, or a part of the baseline's latency."""

    measure: Measure
    margin: float
    # So many values in the smaller arm before it says anything.
    min_n: int = 100

    def __post_init__(self) -> None:
        if not 0 < self.margin <= 1:
            raise ValueError("a margin lies above 0 and up to 100 %")
        if self.min_n < 1:
            raise ValueError("a guardrail needs at least 1 value")

    def as_dict(self) -> dict[str, Any]:
        """As it is stored."""
        return {"measure": self.measure.value, "margin": self.margin, "min_n": self.min_n}


GUARDRAILS = (
    Guardrail(Measure.QUALITY, 0.05, 100),
    Guardrail(Measure.LATENCY, 0.10, 50),
    Guardrail(Measure.ERRORS, 0.02, 50),
)


def read_guardrails(stored: Sequence[Mapping[str, Any]]) -> tuple[Guardrail, ...]:
    """Guardrails from stored data. Raises ValueError with a sentence, also when there is none."""
    if not stored:
        raise ValueError("a rollout needs at least one guardrail")
    try:
        found = tuple(
            Guardrail(Measure(row["measure"]), float(row["margin"]), int(row.get("min_n", 100)))
            for row in stored
        )
    except (KeyError, TypeError):
        raise ValueError("a guardrail needs a measure and a margin") from None
    if len({g.measure for g in found}) != len(found):
        raise ValueError("each measure has one guardrail at most")
    return found


@dataclass(frozen=True, slots=True)
class ArmFigures:
    """What one arm did since the step began. Latency as natural logarithms of milliseconds."""

    n: int = 0
    judged: Count = NOTHING_COUNTED
    log_latency: Sums = NOTHING_SUMMED
    # Every request routed to the arm, with those that fell back to the baseline counted as failed.
    failed: Count = NOTHING_COUNTED


@dataclass(frozen=True, slots=True)
class Reading:
    """One guardrail's answer. Figures are shares, or milliseconds for latency; `gain` is positive when better.

    `low` and `high` bound the difference for one look; `steady_low` and `steady_high` for all looks together.
    """

    measure: Measure
    phase: Phase
    reason: str
    margin: float
    n_baseline: int
    n_candidate: int
    baseline: float | None = None
    candidate: float | None = None
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    steady_low: float | None = None
    steady_high: float | None = None
    is_better: bool = False

    def as_dict(self) -> dict[str, Any]:
        """As it is stored with an event."""
        return {name: getattr(self, name) for name in self.__slots__} | {
            "measure": self.measure.value,
            "phase": self.phase.value,
        }


def read_guardrail(
    guardrail: Guardrail, baseline: ArmFigures, candidate: ArmFigures, *, alpha: float, tuned_to: int
) -> Reading:
    """What a guardrail says of two arms.

    Failed when the interval that holds at every look lies wholly beyond the margin; passed when the interval of one
    look lies wholly within it; else inconclusive. `alpha` is this guardrail's part of the chance of a false alarm.
    """
    measure, sign = guardrail.measure, 1 if guardrail.measure.higher_is_better else -1
    if measure is Measure.LATENCY:
        a, b = baseline.log_latency, candidate.log_latency
        once: Difference | None = sequential.means_once(a, b)
        always = sequential.means_always(a, b, alpha=alpha, tuned_to=tuned_to)
        once, always = (d and _relative(d) for d in (once, always))
        values = tuple(None if s.mean is None else math.exp(s.mean) for s in (a, b))
    else:
        x, y = (
            (baseline.judged, candidate.judged)
            if measure is Measure.QUALITY
            else (baseline.failed, candidate.failed)
        )
        once = sequential.shares_once(x, y)
        always = sequential.shares_always(x, y, alpha=alpha, tuned_to=tuned_to)
        values, a, b = (x.share, y.share), x, y  # type: ignore[assignment]
    shown: dict[str, Any] = {
        "measure": measure,
        "margin": guardrail.margin,
        "n_baseline": a.n,
        "n_candidate": b.n,
        "baseline": values[0],
        "candidate": values[1],
        "difference": once.value if once else None,
        "low": once.low if once else None,
        "high": once.high if once else None,
        "steady_low": always.low if always else None,
        "steady_high": always.high if always else None,
    }
    # In the direction that is good: the lowest and the highest gain the interval allows.
    if always is not None and max(sign * always.low, sign * always.high) < -guardrail.margin:
        return Reading(
            phase=Phase.FAILED,
            reason=f"{measure.label.lower()} proven worse than the margin: {_said(always, measure)}",
            **shown,
        )
    seen = min(a.n, b.n)
    if once is None or seen < guardrail.min_n:
        what = "judged answers" if measure is Measure.QUALITY else "requests"
        return Reading(
            phase=Phase.NO_DATA,
            reason=f"{seen:,} of {guardrail.min_n:,} {what} in the smaller arm",
            **shown,
        )
    worst_gain = min(sign * once.low, sign * once.high)
    if worst_gain > -guardrail.margin:
        better = worst_gain > 0
        words = "better" if better else "not worse than the margin"
        return Reading(
            phase=Phase.PASSED,
            reason=f"{words}: {_said(once, measure)}",
            is_better=better,
            **shown,
        )
    return Reading(
        phase=Phase.INCONCLUSIVE,
        reason=f"{measure.label.lower()} neither proven within the margin nor beyond it: {_said(once, measure)}",
        **shown,
    )


def _relative(logs: Difference) -> Difference:
    return Difference(*(math.expm1(min(v, 50.0)) for v in (logs.value, logs.low, logs.high)))


def _said(d: Difference, measure: Measure) -> str:
    unit = "points" if measure.unit == "points" else "%"
    return f"{d.value * 100:+.1f} {unit} ({d.low * 100:+.1f} to {d.high * 100:+.1f})"


@dataclass(frozen=True, slots=True)
class Measured:
    """One look at a rollout: every guardrail's answer, the sample, and how often looking failed in a row."""

    readings: tuple[Reading, ...] = ()
    n_smaller_arm: int = 0
    consecutive_errors: int = 0

    @property
    def worst(self) -> Phase:
        """The worst answer; too few when nothing was measured."""
        return max((r.phase for r in self.readings), key=_WORST_LAST.index, default=Phase.NO_DATA)

    @property
    def reason(self) -> str:
        """The words of the worst guardrails."""
        return "; ".join(r.reason for r in self.readings if r.phase is self.worst)

    def of(self, measure: Measure) -> Reading | None:
        """The reading of one measure."""
        return next((r for r in self.readings if r.measure is measure), None)


@dataclass(frozen=True, slots=True)
class CanaryState:
    """Where a rollout stands. `held_since`: the present step's time counts from here (a resumed step starts anew)."""

    step_index: int
    held_since: datetime
    # Whether the last step's end promotes by itself, and whether that takes proof of being better.
    promotes: bool = True
    must_be_better: bool = True


@dataclass(frozen=True, slots=True)
class Move:
    """What to do next, and why."""

    action: Action
    reason: str


def measure(
    guardrails: Sequence[Guardrail],
    baseline: ArmFigures,
    candidate: ArmFigures,
    *,
    n_steps: int,
    tuned_to: int,
    alpha: float = ALPHA,
) -> Measured:
    """Every guardrail's answer. The chance of a false alarm is shared out over guardrails and steps (Bonferroni)."""
    each = alpha / max(1, len(guardrails) * n_steps)
    return Measured(
        tuple(
            read_guardrail(g, baseline, candidate, alpha=each, tuned_to=max(tuned_to, sequential.FEWEST))
            for g in guardrails
        ),
        min(baseline.n, candidate.n) if baseline.n or candidate.n else 0,
    )


def next_move(steps: tuple[Step, ...], state: CanaryState, measured: Measured, *, now: datetime) -> Move:
    """What the rollout should do next. Reads only its arguments, so every case is one test row.

    A step needs its time AND its sample AND its guardrails. No data is not a pass: a quiet endpoint waits, however
    late it is.
    """
    step = steps[state.step_index]
    if measured.worst is Phase.FAILED:
        return Move(Action.ROLL_BACK, measured.reason)
    if measured.consecutive_errors > step.errors_allowed:
        return Move(Action.ROLL_BACK, f"could not be measured {measured.consecutive_errors} times in a row")
    if measured.consecutive_errors:
        return Move(Action.WAIT, "could not be measured; trying again")
    if now - state.held_since < step.hold:
        return Move(Action.WAIT, f"holding at {step.share:.0%} of traffic")
    if measured.n_smaller_arm < step.min_sample:
        return Move(
            Action.WAIT,
            f"{measured.n_smaller_arm:,} of {step.min_sample:,} requests seen in the smaller arm",
        )
    if measured.worst is Phase.NO_DATA:
        return Move(Action.WAIT, measured.reason or "nothing was measured")
    if measured.worst is not Phase.PASSED:
        # Not proven bad, not proven good: a person decides, the clock does not.
        return Move(Action.PAUSE, measured.reason)
    if state.step_index + 1 < len(steps):
        share = steps[state.step_index + 1].share
        return Move(Action.STEP, f"every guardrail held at {step.share:.0%}; on to {share:.0%}")
    quality = measured.of(Measure.QUALITY)
    if state.must_be_better and not (quality and quality.is_better):
        said = quality.reason if quality else "quality is not among the guardrails"
        return Move(Action.PAUSE, f"every guardrail held, but it is not proven better: {said}")
    if not state.promotes:
        return Move(
            Action.PAUSE, "the test is over and every guardrail held; a person decides whether it ships"
        )
    return Move(Action.PROMOTE, f"every step passed: {quality.reason if quality else 'every guardrail held'}")


@dataclass(frozen=True, slots=True)
class StepOutlook:
    """What the present traffic will make of a step: requests in the smaller arm, days until its sample is there."""

    share: float
    n_expected: float
    days_to_sample: float | None
    detectable: float | None
    warning: str = ""


def outlook(
    steps: Sequence[Step], *, requests_per_day: float, quality: float = 0.8, judged_share: float = 1.0
) -> list[StepOutlook]:
    """Said while planning (D24): whether the traffic suffices, and which drop of quality each step could show.

    `judged_share`: the part of requests that get feedback, 0 to 1.
    """
    found = []
    for step in steps:
        smaller = min(step.share, 1 - step.share) or step.share
        a_day = requests_per_day * smaller
        n = a_day * step.hold.total_seconds() / 86_400
        days = step.min_sample / a_day if a_day > 0 else None
        # The step goes on until its sample is there, so that many are seen at least.
        seen = max(n, step.min_sample) * judged_share
        drop = sequential.detectable(quality, seen, seen * (1 - smaller) / smaller)
        warning = ""
        if days is None:
            warning = "No traffic yet: this step would wait."
        elif n < step.min_sample:
            warning = f"About {n:,.0f} of {step.min_sample:,} requests in its time; the sample takes {_time(days)} instead."
        found.append(StepOutlook(step.share, n, days, drop, warning))
    return found


def _time(days: float) -> str:
    return f"{days:,.1f} days" if days >= 1 else f"{days * 24:,.1f} hours"


_LINE = re.compile(
    r"\s*(\d+(?:\.\d+)?)\s*%\s*,\s*(\d+(?:\.\d+)?)\s*(s|min|h|d)\s*,\s*(\d[\d,]*)\s*(?:requests?)?\s*",
    re.IGNORECASE,
)
_SECONDS = {"s": 1, "min": 60, "h": HOUR, "d": 24 * HOUR}


def write_ladder(steps: Sequence[Step]) -> str:
    """Steps as people edit them, one a line: "5 %, 1 h, 300 requests"."""
    lines = []
    for step in steps:
        seconds = step.hold.total_seconds()
        unit = next(u for u in ("d", "h", "min", "s") if seconds % _SECONDS[u] == 0 or u == "s")
        if unit == "d" and seconds < 2 * _SECONDS["d"]:
            unit = "h"
        lines.append(
            f"{step.share * 100:g} %, {seconds / _SECONDS[unit]:g} {unit}, {step.min_sample} requests"
        )
    return "\n".join(lines)


def read_ladder(text: str) -> tuple[Step, ...]:
    """Steps from what people wrote. Raises ValueError naming the line."""
    rows = []
    for number, line in enumerate(filter(str.strip, text.splitlines()), 1):
        found = _LINE.fullmatch(line)
        if found is None:
            raise ValueError(f"line {number}: write it like “5 %, 1 h, 300 requests” (s, min, h or d)")
        share, time, unit, sample = found.groups()
        rows.append(
            {
                "share": float(share) / 100,
                "hold_s": float(time) * _SECONDS[unit.lower()],
                "min_sample": int(sample.replace(",", "")),
            }
        )
    return read_steps(rows)
