"""What a comparison found, in sentences: the finding before the figure, and no more than the rows can carry.

The chapter's own rule (S65) is worked out too, so that a page can show both and say why they differ (D22).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from evaluations.domain.comparison import Decided, LabelChange, Line
from evaluations.domain.paired import Difference
from evaluations.domain.statuses import CandidateKind, Verdict
from foundation.ui.formats import grouped, ms, percent, points, signed, usd

# The chapter's line between a modest and a great gain, read as relative improvement of the primary measure.
GREAT_GAIN = 0.10
# A label is named only when it lost at least two rows net: one may be anything.
NAMED_LOSS = 2


class Advice(StrEnum):
    """What the comparison advises; a person decides."""

    HIGHLY_RECOMMENDED = "highly recommended"
    MODEST = "recommended, modest gain"
    CHEAPER = "recommended, as good and cheaper or faster"
    MIXED = "mixed"
    NOT_RECOMMENDED = "not recommended"
    UNDECIDED = "undecided"

    @property
    def tone(self) -> str:
        """The pill it is shown in."""
        good = (Advice.HIGHLY_RECOMMENDED, Advice.MODEST, Advice.CHEAPER)
        return "good" if self in good else {"mixed": "warn", "not recommended": "bad"}.get(self.value, "")


@dataclass(frozen=True, slots=True)
class Who:
    """A candidate as sentences speak of it."""

    key: int
    name: str
    kind: CandidateKind


@dataclass(frozen=True, slots=True)
class Finding:
    """The first paragraph of a comparison. `lead_key` is the candidate it speaks of."""

    headline: str
    detail: str
    advice: Advice
    verdict: Verdict
    lead_key: int
    prompt_sentence: str
    chapter_sentence: str
    weak_labels: tuple[LabelChange, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def lead_of(decided: Decided) -> int:
    """The candidate beside the baseline with the best primary figure; the first one when none has any."""
    primary = [line for line in decided.lines if line.measure == decided.lines[0].measure]
    sign = 1 if primary[0].higher_is_better else -1
    return max(
        primary, key=lambda x: sign * x.candidate if x.candidate is not None else -math.inf
    ).candidate_key


def tell(
    decided: Decided, people: Sequence[Who], *, on: str, prompt_difference: Difference | None = None
) -> Finding:
    """The finding about the leading candidate. `on` names the rows, as in "validation rows of version 3".

    `prompt_difference` is trained minus best prompt on the primary measure, where both took part (S66).
    """
    names = {w.key: w for w in people}
    lead = lead_of(decided)
    baseline = names[decided.baseline_key]
    lines = [line for line in decided.lines if line.candidate_key == lead]
    primary = lines[0]
    worse = [line for line in lines[1:] if line.verdict is Verdict.WORSE]
    better = [line for line in lines[1:] if line.verdict is Verdict.BETTER]
    advice = advise(primary, better, worse)
    labels = tuple(
        c for c in decided.labels.get(lead, ()) if c.baseline_right - c.candidate_right >= NAMED_LOSS
    )[:3]
    me = names[lead]
    headline = _headline(primary, better, worse, me, baseline)
    detail = " ".join(part for part in (_detail(primary, better, worse, me, on), _weak(labels)) if part)
    if (
        decided.winners
        and decided.winners[0].key == decided.baseline_key
        and primary.verdict is Verdict.WORSE
    ):
        detail += f" Nothing here beats {baseline.name}."
    return Finding(
        headline=headline,
        detail=detail,
        advice=advice,
        verdict=primary.verdict,
        lead_key=lead,
        prompt_sentence=prompt_or_tuning(people, prompt_difference, primary),
        chapter_sentence=chapter_advice(lines),
        weak_labels=labels,
    )


def advise(primary: Line, better: Sequence[Line], worse: Sequence[Line]) -> Advice:
    """S65 put right: the primary measure decides, nothing that got worse is averaged away (D22)."""
    if primary.verdict is Verdict.WORSE:
        return Advice.NOT_RECOMMENDED
    if primary.verdict is Verdict.UNDECIDED:
        return Advice.UNDECIDED
    if worse:
        return Advice.MIXED
    if primary.verdict is Verdict.EQUIVALENT:
        return Advice.CHEAPER if better else Advice.NOT_RECOMMENDED
    great = primary.improvement is None or primary.improvement > GREAT_GAIN
    return Advice.HIGHLY_RECOMMENDED if great else Advice.MODEST


def _headline(primary: Line, better: Sequence[Line], worse: Sequence[Line], me: Who, baseline: Who) -> str:
    if primary.difference is None:
        return f"{me.name} and {baseline.name} share no scored row, so nothing can be said."
    if primary.verdict is Verdict.BETTER and not worse:
        return f"Better than {baseline.name}, and not by chance."
    if primary.verdict is Verdict.BETTER:
        return (
            f"More often right than {baseline.name}, but worse in {_and([w.title.lower() for w in worse])}."
        )
    if primary.verdict is Verdict.WORSE:
        return f"Worse than {baseline.name}, and not by chance."
    if primary.verdict is Verdict.EQUIVALENT:
        gains = _and([b.title.lower() for b in better])
        if worse:
            return f"As good as {baseline.name}, but worse in {_and([w.title.lower() for w in worse])}."
        return f"As good as {baseline.name}" + (f", and better in {gains}." if gains else ", and no better.")
    if primary.more_rows is None:
        return f"These rows cannot tell {me.name} and {baseline.name} apart."
    return (
        f"These rows cannot tell {me.name} and {baseline.name} apart; about {primary.more_rows:,} more would."
    )


def _detail(primary: Line, better: Sequence[Line], worse: Sequence[Line], me: Who, on: str) -> str:
    if primary.difference is None or primary.low is None or primary.high is None:
        return f"No row of the {on} was scored for both."
    interval = f"({_amount(primary.low, primary)} to {_amount(primary.high, primary)}, 95%)"
    said = _amount(primary.difference, primary, sign=True)
    what = "right answers" if primary.kind == "binary" else primary.title.lower()
    first = f"{me.name}: {said} {what} {interval} on {primary.n:,} {on}"
    extra = [_short(line) for line in [*better, *worse]]
    return first + (f"; {_and(extra)}" if extra else "") + "."


def _short(line: Line) -> str:
    assert line.difference is not None
    if line.unit == "microusd" and line.baseline and line.candidate is not None:
        ratio = line.candidate / line.baseline
        if line.candidate == 0:
            return "it costs nothing"
        return (
            f"it costs {percent(ratio)} of that"
            if ratio < 1
            else f"it costs {grouped(ratio, 1)} times as much"
        )
    if line.unit == "ms":
        return f"it is {ms(abs(line.difference))} {'faster' if line.difference < 0 else 'slower'} at the 95th percentile"
    return f"{_amount(line.difference, line, sign=True)} {line.title if line.kind == 'macro_f1' else line.title.lower()}"


def _amount(value: float, line: Line, *, sign: bool = False) -> str:
    if line.unit == "share":
        return points(value) if sign else signed(value * 100, 1)
    return ms(value) if line.unit == "ms" else usd(value)


def _weak(labels: Sequence[LabelChange]) -> str:
    if not labels:
        return ""
    parts = [f"“{c.label}” ({c.baseline_right} → {c.candidate_right} of {c.n} right)" for c in labels]
    return f"It lost ground on {_and(parts)}: look at those rows before you ship it."


def _and(parts: Sequence[str]) -> str:
    return ", ".join(parts[:-1]) + f" and {parts[-1]}" if len(parts) > 1 else "".join(parts)


def prompt_or_tuning(people: Sequence[Who], found: Difference | None, primary: Line) -> str:
    """Is the gain from fine-tuning or just from the prompt (S66)? One sentence, "" when nothing was trained."""
    if not any(w.kind is CandidateKind.TRAINED for w in people):
        return ""
    if not any(w.kind is CandidateKind.PROMPT for w in people):
        return (
            "No prompt took part, so nobody can say how much of this a prompt alone would reach. "
            "Add a model with a prompt to ask that."
        )
    if found is None or found.difference is None or found.low is None or found.high is None:
        return "The trained model and the prompt share no scored row."
    unit_is_share = primary.unit == "share"
    amount = points(found.difference) if unit_is_share else signed(found.difference)
    interval = f"({signed(found.low * 100, 1)} to {signed(found.high * 100, 1)})" if unit_is_share else ""
    if found.low > 0:
        return (
            f"Training itself adds {amount} {interval} over the best prompt: the gain is not just the prompt."
        )
    if found.high < 0:
        return f"The best prompt is ahead of the trained model by {points(-found.difference)} {interval}: do not tune yet."
    return f"Trained minus best prompt is {amount} {interval}: a prompt alone may reach the same."


def chapter_advice(lines: Sequence[Line]) -> str:
    """What the chapter's rule would say of the same figures, and what is wrong with it, for the popover.

    It averages the raw change of everything significant, so that slower and dearer count as gains (D22).
    """
    changes = [
        (line.difference / abs(line.baseline)) * 100
        for line in lines
        if line.p is not None and line.p < 0.05 and line.baseline and line.difference is not None
    ]
    if not changes:
        return "The chapter's rule: nothing is significant, so “not recommended”."
    mean = math.fsum(changes) / len(changes)
    says = "highly recommended" if mean > 10 else "a modest improvement"
    return (
        f"The chapter's rule averages every significant change ({signed(mean, 1)} %) and would say “{says}”. It counts "
        "slower, dearer and worse as change like any other; here each measure has its direction and nothing is averaged."
    )


def winners_by_name(decided: Decided) -> Mapping[str, str]:
    """Best candidate of each measure, with those that cannot be told apart from it (S63)."""
    return {
        w.measure: w.name + (f" (not apart from {_and(list(w.tied_with))})" if w.tied_with else "")
        for w in decided.winners
    }
