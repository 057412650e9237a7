"""Facts to scored approaches with reasons: the corrected rules, in whole hundredths, every factor on the table.

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
from decisions.domain.facts import (
    HIGH_VOLUME_PER_DAY,
    MINIMUM_EXAMPLES,
    RECOMMENDED_EXAMPLES,
    Complexity,
    Facts,
    Level,
    Timing,
)
from decisions.domain.tree import Answers, Matrix, TreeWalk, matrix, walk

# Grows when a rule changes, so that an old answer can say under which rules it was given.
RULES = 1
# Hybrid is for RAG and fine-tuning that are both strong (above .60) and close (within .15). In hundredths.
HYBRID_ABOVE = 60
HYBRID_WITHIN = 15
HYBRID_BOTH_STRONG = 85


@dataclass(frozen=True, slots=True)
class Part:
    """One factor's part in a score: `points` in hundredths, negative when it holds the approach back."""

    name: str
    points: int
    why: str
    fact: str = ""


@dataclass(frozen=True, slots=True)
class Untaken:
    """A factor that could add points and does not: what the fact says now and what it would have to say."""

    name: str
    points: int
    now: str
    would_need: str
    fact: str


@dataclass(frozen=True, slots=True)
class Gate:
    """Whether an approach may be recommended at all; `missing` says in sentences what has to come first."""

    missing: tuple[str, ...] = ()

    @property
    def is_open(self) -> bool:
        """Nothing is missing."""
        return not self.missing


@dataclass(frozen=True, slots=True)
class Score:
    """One approach's score in hundredths: the raw sum of its parts, and the same kept within 0 and 100."""

    approach: Approach
    parts: tuple[Part, ...]
    untaken: tuple[Untaken, ...]
    raw: int
    capped: int
    gate: Gate


@dataclass(frozen=True, slots=True)
class Verdict:
    """The recommendation, how it was reached, and by how much.

    `by` is "score" (clearly ahead), "hybrid" (RAG and fine-tuning both needed), "tree" (a tie the tree broke) or
    "effort" (a tie the tree does not settle: the quicker one). `margin` is hundredths ahead of `runner_up` among
    the approaches whose gate is open; 0 in a tie, None for the hybrid rule, which compares two others.
    """

    recommendation: Approach
    by: str
    margin: int | None
    runner_up: Approach | None
    tied: tuple[Approach, ...]
    headline: str
    sentence: str


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


# --- scores ---------------------------------------------------------------------------------------------------------


def score_all(facts: Facts, answers: Answers | None = None) -> dict[Approach, Score]:
    """The four scores in hundredths, by approach. Sums are whole numbers: no factor can fall between two floats."""
    answers = answers or Answers()
    gate = training_gate(facts, answers)
    prompt = _summed(Approach.PROMPT, 50, "where every use case starts", _prompt_factors(facts), Gate())
    rag = _summed(Approach.RAG, 50, "where every use case starts", _rag_factors(facts), Gate())
    tuned = _summed(
        Approach.FINE_TUNING, 30, "a lower start: the bar is higher", _fine_tuning_factors(facts), gate
    )
    return {
        Approach.PROMPT: prompt,
        Approach.RAG: rag,
        Approach.FINE_TUNING: tuned,
        Approach.HYBRID: _hybrid(rag, tuned, gate),
    }


# name, points, whether it applies, why, what the fact says, what it would need, the fact's field
Factor = tuple[str, int, bool, str, str, str, str]


def _summed(approach: Approach, base: int, base_why: str, factors: list[Factor], gate: Gate) -> Score:
    parts = [Part("Start", base, base_why)]
    untaken: list[Untaken] = []
    for name, points, applies, why, now, need, fact in factors:
        if applies:
            parts.append(Part(name, points, why, fact))
        elif points > 0:
            untaken.append(Untaken(name, points, now, need, fact))
    for name, points, applies, _, now, need, fact in factors:
        # A factor that takes points away is one to mend, too.
        if applies and points < 0:
            untaken.append(Untaken(name, -points, now, need, fact))
    raw = sum(part.points for part in parts)
    return Score(approach, tuple(parts), tuple(untaken), raw, max(0, min(100, raw)), gate)


def _prompt_factors(f: Facts) -> list[Factor]:
    return [
        (
            "Simple task",
            30,
            f.task_complexity is Complexity.SIMPLE,
            "a simple task needs little teaching",
            f"the task is {f.task_complexity}",
            "a simple task",
            "task_complexity",
        ),
        (
            "Little data",
            20,
            f.data_availability is Level.LOW,
            "a prompt needs no examples to train on",
            f"availability is {f.data_availability}",
            "low data availability",
            "data_availability",
        ),
        (
            "Low budget",
            20,
            f.budget_constraint is Level.LOW,
            "nothing is set up, nothing is trained",
            f"the budget is {f.budget_constraint}",
            "a low budget",
            "budget_constraint",
        ),
        (
            "Urgent",
            30,
            f.time_to_market is Timing.URGENT,
            "it stands in 1 to 2 weeks",
            f"timing is {f.time_to_market}",
            "urgent timing",
            "time_to_market",
        ),
        (
            "Flexibility",
            20,
            f.requires_flexibility,
            "a prompt is changed in minutes",
            "flexibility is not needed",
            "a need for flexibility",
            "requires_flexibility",
        ),
    ]


def _rag_factors(f: Facts) -> list[Factor]:
    return [
        (
            "Factual accuracy",
            30,
            f.requires_factual_accuracy,
            "answers rest on a text that was looked up",
            "factual accuracy is not needed",
            "a need for factual accuracy",
            "requires_factual_accuracy",
        ),
        (
            "Knowledge base",
            30,
            f.has_knowledge_base,
            "there is something to look up in",
            "there is no knowledge base",
            "a knowledge base",
            "has_knowledge_base",
        ),
        (
            "Changing knowledge",
            20,
            f.data_changes_frequently,
            "an index follows changes at once",
            "the knowledge is stable",
            "knowledge that changes often",
            "data_changes_frequently",
        ),
        (
            "Citations",
            20,
            f.requires_citations,
            "only what was looked up can be cited",
            "citations are not needed",
            "a need for citations",
            "requires_citations",
        ),
        (
            "Domain-specific",
            10,
            f.domain_specific,
            "the domain's own texts help",
            "it is not domain-specific",
            "a domain of its own",
            "domain_specific",
        ),
    ]


def _fine_tuning_factors(f: Facts) -> list[Factor]:
    good_data = f.data_availability is Level.HIGH and f.data_quality is Level.HIGH
    return [
        (
            "Plenty of good data",
            40,
            good_data,
            "availability and quality are both high",
            f"availability is {f.data_availability}, quality is {f.data_quality}",
            "high availability and high quality",
            "data_availability" if f.data_availability is not Level.HIGH else "data_quality",
        ),
        (
            "Complex task",
            20,
            f.task_complexity is Complexity.COMPLEX,
            "training carries what a prompt cannot spell out",
            f"the task is {f.task_complexity}",
            "a complex task",
            "task_complexity",
        ),
        (
            "Consistency",
            20,
            f.requires_consistency,
            "a trained model answers alike every time",
            "consistency is not needed",
            "a need for the same answer every time",
            "requires_consistency",
        ),
        (
            "High volume",
            20,
            f.volume_per_day >= HIGH_VOLUME_PER_DAY,
            f"{f.volume_per_day:,} requests a day carry the cost of training",
            f"{f.volume_per_day:,} requests a day",
            f"{HIGH_VOLUME_PER_DAY:,} requests a day or more",
            "volume_per_day",
        ),
        (
            "Specialised behaviour",
            30,
            f.requires_specialised_behaviour,
            "behaviour is learnt from examples",
            "specialised behaviour is not needed",
            "a need for specialised behaviour",
            "requires_specialised_behaviour",
        ),
        (
            "High budget",
            10,
            f.budget_constraint is Level.HIGH,
            "set-up and training can be paid",
            f"the budget is {f.budget_constraint}",
            "a high budget",
            "budget_constraint",
        ),
        (
            "Little data",
            -40,
            f.data_availability is Level.LOW,
            "there is too little to learn from",
            "availability is low",
            "more than low availability",
            "data_availability",
        ),
        (
            "Urgent",
            -20,
            f.time_to_market is Timing.URGENT,
            "training takes 4 to 8 weeks",
            "timing is urgent",
            "normal timing",
            "time_to_market",
        ),
    ]


def _hybrid(rag: Score, tuned: Score, gate: Gate) -> Score:
    if rag.capped > HYBRID_ABOVE and tuned.capped > HYBRID_ABOVE:
        why = (
            f"RAG {hundredths(rag.capped)} and fine-tuning {hundredths(tuned.capped)} are both above "
            f"{hundredths(HYBRID_ABOVE)}"
        )
        parts = (Part("Both strong", HYBRID_BOTH_STRONG, why),)
    else:
        # Scores are tens of hundredths, so (a + b) / 2.5 is a whole number of hundredths.
        points = (rag.capped + tuned.capped) * 2 // 5
        why = f"(RAG {hundredths(rag.capped)} + fine-tuning {hundredths(tuned.capped)}) / 2.5"
        parts = (Part("Not both above 0.60", points, why),)
    raw = parts[0].points
    return Score(Approach.HYBRID, parts, (), raw, raw, gate)


def training_gate(facts: Facts, answers: Answers) -> Gate:
    """What must be there before anything is trained; with a gate closed, a score however high does not count."""
    missing: list[str] = []
    if facts.data_availability is Level.LOW:
        missing.append(
            f"At least {MINIMUM_EXAMPLES} examples ({RECOMMENDED_EXAMPLES:,} recommended); availability is low."
        )
    if facts.data_quality is Level.LOW:
        missing.append("Examples reviewed and corrected by people; their quality is low.")
    n = answers.examples_in_hand
    if n is not None and n < MINIMUM_EXAMPLES:
        missing.append(
            f"{MINIMUM_EXAMPLES - n:,} more good examples: {n:,} of {MINIMUM_EXAMPLES} are in hand, "
            f"{answers.source('examples_in_hand')}."
        )
    return Gate(tuple(missing))


# --- verdict --------------------------------------------------------------------------------------------------------


def judge(scores: Mapping[Approach, Score], tree: TreeWalk) -> Verdict:
    """Which approach, and how that was settled: the hybrid rule, the score, the tree, or the smaller effort."""
    rag, tuned = scores[Approach.RAG], scores[Approach.FINE_TUNING]
    prompt = scores[Approach.PROMPT]
    ranked = sorted((s for s in scores.values() if s.gate.is_open), key=lambda s: -s.capped)
    best = ranked[0].capped
    if hybrid_is_needed(prompt, rag, tuned):
        return _hybrid_verdict(rag, tuned, best, ranked)
    tied = tuple(s.approach for s in ranked if s.capped == best)
    if len(tied) == 1:
        winner, second = ranked[0], ranked[1]
        margin = winner.capped - second.capped
        ahead = f"{hundredths(margin)} ahead of {second.approach.inline}"
        sentence = f"{winner.approach.label} scores {hundredths(best)}, {ahead}."
        if prompt is winner and _both_strong_and_close(rag, tuned):
            sentence += (
                " RAG and fine-tuning are both strong and close behind: should the prompt fall short, the next "
                "thing to try is the two together."
            )
        return Verdict(
            winner.approach,
            "score",
            margin,
            second.approach,
            (),
            f"{winner.approach.label}, {ahead}",
            sentence,
        )
    names = _and([approach.inline for approach in tied])
    tie = f"{names[0].upper()}{names[1:]} tie for first at {hundredths(best)}."
    if tree.names in tied:
        winner_approach, by = tree.names, "tree"
        sentence = f"{tie} The decision tree settles it: {tree.sentence[0].lower()}{tree.sentence[1:]}"
    else:
        winner_approach, by = tied[0], "effort"
        sentence = (
            f"{tie} The decision tree ends at {tree.names.inline}, which is not among them, so the one that takes "
            f"less effort goes first: {tied[0].inline}, {EFFORT[tied[0]].weeks}."
        )
    others = _and([approach.inline for approach in tied if approach is not winner_approach])
    how = "by the tree" if by == "tree" else "the smaller effort"
    return Verdict(
        winner_approach,
        by,
        0,
        next(approach for approach in tied if approach is not winner_approach),
        tied,
        f"{winner_approach.label}, {how}: a tie with {others} at {hundredths(best)}",
        sentence,
    )


def hybrid_is_needed(prompt: Score, rag: Score, tuned: Score) -> bool:
    """RAG and fine-tuning may both be used, are both strong, close to each other, and lead.

    Where a plain prompt scores above both of them there is no tie between the two to settle: two systems would be
    built where the smallest effort is ahead.
    """
    return _both_strong_and_close(rag, tuned) and prompt.capped <= max(rag.capped, tuned.capped)


def _both_strong_and_close(rag: Score, tuned: Score) -> bool:
    return (
        tuned.gate.is_open
        and rag.gate.is_open
        and rag.capped > HYBRID_ABOVE
        and tuned.capped > HYBRID_ABOVE
        and abs(rag.capped - tuned.capped) <= HYBRID_WITHIN
    )


def _hybrid_verdict(rag: Score, tuned: Score, best: int, ranked: list[Score]) -> Verdict:
    tied = tuple(s.approach for s in ranked if s.capped == best)
    if rag.capped == tuned.capped:
        figures = f"RAG and fine-tuning tie at {hundredths(rag.capped)}"
    else:
        figures = (
            f"RAG {hundredths(rag.capped)} and fine-tuning {hundredths(tuned.capped)} are within "
            f"{hundredths(HYBRID_WITHIN)}"
        )
    return Verdict(
        Approach.HYBRID,
        "hybrid",
        None,
        Approach.RAG if rag.capped >= tuned.capped else Approach.FINE_TUNING,
        tied if len(tied) > 1 else (),
        f"Hybrid: {figures}",
        f"{figures}, and both are needed: look facts up, and train the behaviour. "
        "Begin with RAG, which stands sooner, and fine-tune on its answers.",
    )


def hundredths(points: int) -> str:
    """A score or margin for people: 85 is "0.85"."""
    sign = "−" if points < 0 else ""
    return f"{sign}{abs(points) // 100}.{abs(points) % 100:02d}"


def _and(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


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
                f"The book has a tie ({_and([a.inline for a in chapter.tied])}) and answers with whichever its list "
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
            f"The book has a tie ({_and([a.inline for a in chapter.tied])}) and answers {chapter.recommendation.inline} "
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
