"""The whole answer for one use case: scores, verdict, reasons, considerations, and the book's answer beside it.

Pure. The book's own arithmetic stands in `chapter.py` and is shown beside this, never used for the answer.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from decisions.domain.approaches import EFFORT, Approach
from decisions.domain.chapter import ChapterAnswer, chapter_answer
from decisions.domain.costs import HYBRID_FORMULA, CostEstimate, Rate, estimate, rates_with
from decisions.domain.facts import HIGH_VOLUME_PER_DAY, MINIMUM_EXAMPLES, RECOMMENDED_EXAMPLES, Facts, Level
from decisions.domain.scoring import HYBRID_ABOVE, Score, hundredths, score_all
from decisions.domain.tree import Answers, Matrix, TreeWalk, matrix, walk
from decisions.domain.verdicts import Verdict, judge, listed

# Grows when a rule changes, so that an old answer can say under which rules it was given.
RULES = 1


@dataclass(frozen=True, slots=True)
class Reason:
    """One line of the reasoning. `sign` is "for", "against" or "note" as seen from the recommendation."""

    sign: str
    text: str


@dataclass(frozen=True, slots=True)
class Considerations:
    """What following an approach asks: data, money, time, upkeep."""

    data: tuple[tuple[str, str], ...]
    costs: tuple[CostEstimate, ...]
    hybrid_formula: str


@dataclass(frozen=True, slots=True)
class Report:
    """The whole answer for one use case."""

    facts: Facts
    answers: Answers
    scores: tuple[Score, ...]
    verdict: Verdict
    reasons: tuple[Reason, ...]
    tree: TreeWalk
    matrix: Matrix
    considerations: Considerations
    chapter: ChapterAnswer
    differences: tuple[str, ...]

    def score(self, approach: Approach) -> Score:
        """The score of one approach."""
        return next(score for score in self.scores if score.approach is approach)


def decide(
    facts: Facts, answers: Answers | None = None, rates: Mapping[str, Mapping[str, int]] | None = None
) -> Report:
    """The corrected answer for one use case, with everything it rests on and the book's answer beside it."""
    answers = answers or Answers()
    scores = score_all(facts, answers)
    tree = walk(facts, answers)
    verdict = judge(scores, tree)
    chapter = chapter_answer(facts)
    by_rank = tuple(sorted(scores.values(), key=lambda s: _rank(s, verdict)))
    return Report(
        facts=facts,
        answers=answers,
        scores=by_rank,
        verdict=verdict,
        reasons=_reasons(facts, scores, verdict, tree),
        tree=tree,
        matrix=matrix(facts, answers),
        considerations=considerations(facts, rates),
        chapter=chapter,
        differences=_differences(facts, scores, verdict, chapter),
    )


def _rank(score: Score, verdict: Verdict) -> tuple[bool, bool, int, int]:
    is_winner = score.approach is verdict.recommendation
    return not is_winner, not score.gate.is_open, -score.capped, list(Approach).index(score.approach)


# --- reasons --------------------------------------------------------------------------------------------------------


def _reasons(
    facts: Facts, scores: Mapping[Approach, Score], verdict: Verdict, tree: TreeWalk
) -> tuple[Reason, ...]:
    """Why the winner wins, what speaks against it, and where each of the others stands."""
    winner = scores[verdict.recommendation]
    sources = (
        (scores[Approach.RAG], scores[Approach.FINE_TUNING])
        if verdict.recommendation is Approach.HYBRID
        else (winner,)
    )
    lines: list[Reason] = [Reason("note", verdict.sentence)]
    for source in sources:
        prefix = f"{source.approach.label}: " if len(sources) > 1 else ""
        for part in source.parts[1:]:
            text = f"{prefix}{part.name}: {part.why} ({'+' if part.points > 0 else ''}{hundredths(part.points)})."
            lines.append(Reason("for" if part.points > 0 else "against", text))
        if len(source.parts) == 1:
            lines.append(
                Reason(
                    "note",
                    f"{prefix}No factor speaks for it; it stands at its start of {hundredths(source.raw)}.",
                )
            )
        if source.raw > 100:
            lines.append(
                Reason("note", f"{prefix}The parts add up to {hundredths(source.raw)}; a score ends at 1.00.")
            )
    lines.extend(_about_data(facts, verdict))
    if tree.names is not verdict.recommendation:
        lines.append(
            Reason(
                "note",
                f"The decision tree by itself ends at {tree.names.inline}: {tree.sentence[0].lower()}"
                f"{tree.sentence[1:]} It settles ties; the score recommends.",
            )
        )
    for score in scores.values():
        if score.approach is verdict.recommendation:
            continue
        if not score.gate.is_open:
            lines.append(
                Reason(
                    "note",
                    f"{score.approach.label} is not eligible yet. Missing: {' '.join(score.gate.missing)}",
                )
            )
    return tuple(lines)


def _about_data(facts: Facts, verdict: Verdict) -> list[Reason]:
    trains = verdict.recommendation in (Approach.FINE_TUNING, Approach.HYBRID)
    if facts.data_availability is Level.HIGH and facts.data_quality is Level.HIGH:
        return (
            []
            if trains
            else [Reason("note", "There is plenty of good data, should you want to train later.")]
        )
    if facts.data_availability is Level.LOW:
        return [Reason("against" if trains else "note", "Little data: training would be premature.")]
    # The book prints "Limited data" for medium availability too; medium is neither a plus nor a minus.
    return [
        Reason(
            "note",
            f"Data: availability is {facts.data_availability} and quality is {facts.data_quality}; only when both are "
            "high does fine-tuning gain 0.40.",
        )
    ]


# --- considerations -------------------------------------------------------------------------------------------------


def considerations(facts: Facts, rates: Mapping[str, Mapping[str, int]] | None = None) -> Considerations:
    """Data, money, time and upkeep of the four approaches at this volume."""
    by_approach: dict[Approach, Rate] = rates_with(rates)
    return Considerations(
        data=(
            ("At least", f"{MINIMUM_EXAMPLES} examples"),
            ("Recommended", f"{RECOMMENDED_EXAMPLES:,} examples"),
            ("Quality", "High: reviewed and validated by people"),
            ("Format", "JSONL, one prompt and completion a line"),
        ),
        costs=tuple(estimate(approach, by_approach, facts.volume_per_day) for approach in Approach),
        hybrid_formula=HYBRID_FORMULA,
    )


# --- the book beside it ---------------------------------------------------------------------------------------------


def _differences(
    facts: Facts, scores: Mapping[Approach, Score], verdict: Verdict, chapter: ChapterAnswer
) -> tuple[str, ...]:
    """Where the book's answer differs from this one, and why; empty when nothing does."""
    lines: list[str] = []
    for approach in (Approach.PROMPT, Approach.RAG, Approach.FINE_TUNING):
        book, here = chapter.score(approach), scores[approach].capped
        if abs(book * 100 - here) > 0.5:
            lines.append(
                f"{approach.label}: {book:.2f} in the book, {hundredths(here)} here. The book asks for more than "
                f"{HIGH_VOLUME_PER_DAY:,} requests a day; its own prose counts exactly {HIGH_VOLUME_PER_DAY:,} as high."
            )
    tuned = scores[Approach.FINE_TUNING]
    book_tuned = chapter.score(Approach.FINE_TUNING)
    if (book_tuned > 0.6) != (tuned.capped > HYBRID_ABOVE) and abs(book_tuned * 100 - tuned.capped) < 0.5:
        lines.append(
            f"Fine-tuning is exactly {hundredths(tuned.capped)}; in the book's binary fractions it comes out as "
            f"{book_tuned!r}, on the other side of 0.60. Whole hundredths cannot slip."
        )
    if chapter.recommendation is verdict.recommendation:
        if chapter.tied:
            lines.append(
                f"The book has a tie ({listed([a.inline for a in chapter.tied])}) and answers with whichever its list "
                f"names first. Here the tie is said, and settled aloud."
            )
        return tuple(lines)
    if not scores[chapter.recommendation].gate.is_open:
        lines.append(
            f"The book answers {chapter.recommendation.inline}. With what is missing, training cannot begin: "
            "examples are a gate here, not minus 0.40."
        )
    elif verdict.by == "hybrid":
        lines.append(
            f"The book answers {chapter.recommendation.inline}: its hybrid never scores above 0.85, so it loses "
            "exactly when RAG and fine-tuning are both strongest. Here both strong and close means both."
        )
    elif chapter.tied:
        lines.append(
            f"The book has a tie ({listed([a.inline for a in chapter.tied])}) and answers {chapter.recommendation.inline} "
            "because its list names it first."
        )
    if not lines:
        lines.append(f"The book answers {chapter.recommendation.inline} by its own scores.")
    return tuple(lines)


def as_json(report: Report) -> dict[str, Any]:
    """The report as plain JSON values, to be kept with a decision and drawn by its page."""
    scores = []
    for score in report.scores:
        scores.append(
            {
                **asdict(score),
                "label": score.approach.label,
                "is_open": score.gate.is_open,
                "missing": list(score.gate.missing),
                "chapter": report.chapter.score(score.approach),
                "is_recommended": score.approach is report.verdict.recommendation,
            }
        )
    costs = [
        {**asdict(c), "label": c.approach.label, "once_microusd": c.once_microusd}
        for c in report.considerations.costs
    ]
    whole = {
        "rules": RULES,
        "verdict": {**asdict(report.verdict), "label": report.verdict.recommendation.label},
        "scores": scores,
        "reasons": [asdict(reason) for reason in report.reasons],
        "tree": {**asdict(report.tree), "label": report.tree.names.label},
        "matrix": {
            **asdict(report.matrix),
            "n_few_shot": report.matrix.n_few_shot,
            "n_fine_tuning": report.matrix.n_fine_tuning,
        },
        "data": [{"name": name, "text": text} for name, text in report.considerations.data],
        "costs": costs,
        "hybrid_formula": report.considerations.hybrid_formula,
        "efforts": [
            {**asdict(effort), "label": effort.approach.label, "weeks": effort.weeks}
            for effort in EFFORT.values()
        ],
        "chapter": {
            "scores": [
                {"approach": a, "label": a.label, "score": score} for a, score in report.chapter.scores
            ],
            "recommendation": report.chapter.recommendation,
            "label": report.chapter.recommendation.label,
            "tied": [a.label for a in report.chapter.tied],
        },
        "differences": list(report.differences),
    }
    # Through text and back: tuples and enums become what a saved answer holds, so both are drawn alike.
    return json.loads(json.dumps(whole))
