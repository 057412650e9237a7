"""Facts to four scores: whole hundredths, every factor on the table, and the gate before any training.

Pure. What is recommended is settled in `verdicts.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

from decisions.domain.approaches import Approach
from decisions.domain.facts import (
    HIGH_VOLUME_PER_DAY,
    MINIMUM_EXAMPLES,
    RECOMMENDED_EXAMPLES,
    Complexity,
    Facts,
    Level,
    Timing,
)
from decisions.domain.tree import Answers

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


def hundredths(points: int) -> str:
    """A score or margin for people: 85 is "0.85"."""
    sign = "−" if points < 0 else ""
    return f"{sign}{abs(points) // 100}.{abs(points) % 100:02d}"
