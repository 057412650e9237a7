"""The book's decision tree (pitfall 6) and its few-shot-or-fine-tune matrix, walked with a team's own answers.

Pure. A question nobody can answer yet stays open; it is never taken for a no.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from decisions.domain.approaches import Approach
from decisions.domain.facts import (
    FEW_EXAMPLES,
    HIGH_VOLUME_PER_DAY,
    LOW_VOLUME_PER_DAY,
    MINIMUM_EXAMPLES,
    Facts,
    Level,
)

# The gain over the best prompt from which the tree says "proceed": more than ten per cent.
GAIN_WORTH_IT = 0.10


class Answer(StrEnum):
    YES = "yes"
    NO = "no"
    OPEN = "open"

    @classmethod
    def of(cls, value: bool | None) -> Answer:
        """Yes, no, or open for None."""
        return cls.OPEN if value is None else cls.YES if value else cls.NO


@dataclass(frozen=True, slots=True)
class Answers:
    """What the tree and the matrix ask beside the fifteen facts; None is not known yet.

    `expected_gain` is a share over the best prompt (0.10 is ten per cent). `sources` names, by field, where a
    measured answer comes from; a field without one was stated by the team.
    """

    prompt_solves_it: bool | None = None
    examples_in_hand: int | None = None
    expected_gain: float | None = None
    is_prototype: bool = False
    behaviour_changes_often: bool = False
    roi_is_positive: bool | None = None
    sources: Mapping[str, str] = field(default_factory=dict)

    def source(self, name: str) -> str:
        """Where the answer comes from, in words."""
        return self.sources.get(name) or "as the team states it"


@dataclass(frozen=True, slots=True)
class TreeStep:
    """One question of the tree with this use case's answer and what follows from it."""

    question: str
    answer: Answer
    because: str
    then: str
    # The field of the form that answers it.
    fact: str
    is_last: bool = False


@dataclass(frozen=True, slots=True)
class TreeWalk:
    """The questions in order, up to the one that settles it. `names` is the approach the walk ends at."""

    steps: tuple[TreeStep, ...]
    names: Approach
    # Whether the walk ended at a firm answer, or an open question stands on the way.
    is_firm: bool
    sentence: str


def walk(facts: Facts, answers: Answers) -> TreeWalk:
    """The tree of pitfall 6, walked: prompt first, then changing knowledge, behaviour, examples, gain."""
    steps: list[TreeStep] = []

    def end(names: Approach, sentence: str) -> TreeWalk:
        last = steps[-1]
        steps[-1] = TreeStep(last.question, last.answer, last.because, last.then, last.fact, is_last=True)
        return TreeWalk(tuple(steps), names, all(s.answer is not Answer.OPEN for s in steps), sentence)

    solved = Answer.of(answers.prompt_solves_it)
    steps.append(
        TreeStep(
            "Does a good prompt solve it?",
            solved,
            {"yes": "It does", "no": "It was tried and falls short", "open": "Nobody has tried yet"}[solved]
            + f", {answers.source('prompt_solves_it')}.",
            {
                "yes": "Stop here: prompt engineering.",
                "no": "Go on.",
                "open": "Try it first; it takes 1 to 2 weeks. Until then the walk goes on without it.",
            }[solved],
            "prompt_solves_it",
        )
    )
    if solved is Answer.YES:
        return end(Approach.PROMPT, "A prompt solves it: anything more would cost more and bring nothing.")

    changing = Answer.of(facts.data_changes_frequently)
    steps.append(
        TreeStep(
            "Does the knowledge change often?",
            changing,
            "What the answers rest on changes often." if facts.data_changes_frequently else "It is stable.",
            "Use RAG: training would be out of date with the next change."
            if facts.data_changes_frequently
            else "Go on.",
            "data_changes_frequently",
        )
    )
    if changing is Answer.YES:
        return end(Approach.RAG, "The knowledge changes: look it up when asked, with RAG.")

    behaviour = facts.requires_consistency and facts.requires_specialised_behaviour
    steps.append(
        TreeStep(
            "Is consistent, specialised behaviour needed?",
            Answer.of(behaviour),
            _behaviour_because(facts),
            "Fine-tuning is what teaches behaviour." if behaviour else "A prompt is enough for this.",
            "requires_specialised_behaviour",
        )
    )
    if not behaviour:
        return end(Approach.PROMPT, "Nothing here asks for more than a good prompt.")

    enough, because = _enough_examples(facts, answers)
    steps.append(
        TreeStep(
            f"Are there {MINIMUM_EXAMPLES} good examples?",
            enough,
            because,
            {
                "yes": "Proceed.",
                "no": "Not yet: gather and review examples; prompt with a few of them meanwhile.",
                "open": "Count them: import what there is.",
            }[enough],
            "examples_in_hand",
        )
    )
    if enough is Answer.NO:
        return end(Approach.PROMPT, "Fine-tuning is the aim, but the examples are missing: prompt meanwhile.")

    gain = answers.expected_gain
    worth = Answer.of(None if gain is None else gain > GAIN_WORTH_IT)
    steps.append(
        TreeStep(
            "Is a gain of more than 10% expected?",
            worth,
            "No gain has been estimated or measured."
            if gain is None
            else f"{gain:+.1%}, {answers.source('expected_gain')}.",
            {
                "yes": "Proceed with fine-tuning.",
                "no": "Stay with the prompt: the gain does not carry the cost.",
                "open": "Measure it: evaluate the best prompt first.",
            }[worth],
            "expected_gain",
        )
    )
    if worth is Answer.NO:
        return end(Approach.PROMPT, "The expected gain is too small to carry the cost of fine-tuning.")
    if any(step.answer is Answer.OPEN for step in steps):
        return end(Approach.FINE_TUNING, "Fine-tuning, once the open questions are answered with yes.")
    return end(Approach.FINE_TUNING, "Every question says fine-tune.")


def _behaviour_because(facts: Facts) -> str:
    match facts.requires_consistency, facts.requires_specialised_behaviour:
        case True, True:
            return "Both: the same answer every time, and behaviour of its own."
        case True, False:
            return "Consistency is needed, specialised behaviour is not."
        case False, True:
            return "Specialised behaviour is needed, consistency is not."
    return "Neither is needed."


def _enough_examples(facts: Facts, answers: Answers) -> tuple[Answer, str]:
    n = answers.examples_in_hand
    if n is not None:
        return Answer.of(n >= MINIMUM_EXAMPLES), f"{n:,} in hand, {answers.source('examples_in_hand')}."
    if facts.data_availability is Level.LOW:
        return Answer.NO, "Nobody has counted; availability is stated as low."
    return Answer.OPEN, "Nobody has counted them yet."


@dataclass(frozen=True, slots=True)
class MatrixRow:
    """One condition of the matrix: whether it holds here, and from which figure one sees it."""

    condition: str
    holds: Answer
    because: str
    fact: str


@dataclass(frozen=True, slots=True)
class Matrix:
    """Few-shot prompting against fine-tuning: five conditions each, with the pros and cons of both."""

    few_shot: tuple[MatrixRow, ...]
    fine_tuning: tuple[MatrixRow, ...]
    sentence: str

    @property
    def n_few_shot(self) -> int:
        """How many of the conditions for few-shot prompting hold."""
        return sum(row.holds is Answer.YES for row in self.few_shot)

    @property
    def n_fine_tuning(self) -> int:
        """How many of the conditions for fine-tuning hold."""
        return sum(row.holds is Answer.YES for row in self.fine_tuning)


FEW_SHOT_PROS = (
    "At once: nothing is trained",
    "No cost of training",
    "Behaviour is changed by changing the prompt",
    "Works with 3 to 5 examples",
    "Good for trying things out",
)
FEW_SHOT_CONS = (
    "The examples cost tokens on each request",
    "Limited by the context window",
    "Less consistent on complex tasks",
    "Does not grow to many examples",
)
FINE_TUNING_PROS = (
    "Consistent from request to request",
    "Shorter prompts: cheaper tokens at high volume",
    "Specialised in the domain",
    "Better at complex tasks",
    "Grows to thousands of examples",
)
FINE_TUNING_CONS = (
    "Needs 500 good examples or more",
    "Costs set-up: data and training",
    "Behaviour is changed by training again",
    "Less flexible than a prompt",
    "Pays back after weeks or months, if at all",
)


def matrix(facts: Facts, answers: Answers) -> Matrix:
    """The few-shot-or-fine-tune matrix with each condition answered; exactly 10,000 a day is high volume."""
    n = answers.examples_in_hand
    counted = "Nobody has counted them yet." if n is None else f"{n:,} in hand."
    volume = f"{facts.volume_per_day:,} requests a day."
    roi = answers.roi_is_positive
    few_shot = (
        MatrixRow(
            "Prototyping or exploring",
            Answer.of(answers.is_prototype),
            "Still exploring." if answers.is_prototype else "Meant for production.",
            "is_prototype",
        ),
        MatrixRow(
            f"Fewer than {FEW_EXAMPLES} examples",
            Answer.of(None if n is None else n < FEW_EXAMPLES),
            counted,
            "examples_in_hand",
        ),
        MatrixRow(
            "The wanted behaviour changes often",
            Answer.of(answers.behaviour_changes_often),
            "It changes often." if answers.behaviour_changes_often else "It is settled.",
            "behaviour_changes_often",
        ),
        MatrixRow(
            f"Fewer than {LOW_VOLUME_PER_DAY:,} requests a day",
            Answer.of(facts.volume_per_day < LOW_VOLUME_PER_DAY),
            volume,
            "volume_per_day",
        ),
        MatrixRow(
            "Flexibility is needed",
            Answer.of(facts.requires_flexibility),
            "It is needed." if facts.requires_flexibility else "It is not needed.",
            "requires_flexibility",
        ),
    )
    behaviour = facts.requires_consistency and facts.requires_specialised_behaviour
    fine_tuning = (
        MatrixRow(
            f"{MINIMUM_EXAMPLES} good examples or more",
            Answer.of(None if n is None else n >= MINIMUM_EXAMPLES),
            counted,
            "examples_in_hand",
        ),
        MatrixRow(
            "Consistent, specialised behaviour is needed",
            Answer.of(behaviour),
            _behaviour_because(facts),
            "requires_specialised_behaviour",
        ),
        MatrixRow(
            f"{HIGH_VOLUME_PER_DAY:,} requests a day or more",
            Answer.of(facts.volume_per_day >= HIGH_VOLUME_PER_DAY),
            volume,
            "volume_per_day",
        ),
        MatrixRow(
            "Ready for production",
            Answer.of(not answers.is_prototype),
            "Still exploring." if answers.is_prototype else "Meant for production.",
            "is_prototype",
        ),
        MatrixRow(
            "Return is positive over 6 months or more",
            Answer.of(roi),
            "Not worked out yet."
            if roi is None
            else f"{'Positive' if roi else 'Negative'}, {answers.source('roi_is_positive')}.",
            "roi",
        ),
    )
    few = sum(row.holds is Answer.YES for row in few_shot)
    fine = sum(row.holds is Answer.YES for row in fine_tuning)
    n_open = sum(row.holds is Answer.OPEN for row in (*few_shot, *fine_tuning))
    lean = "Leans to few-shot prompting" if few > fine else "Leans to fine-tuning" if fine > few else "Even"
    rest = f"; {n_open} not known yet" if n_open else ""
    return Matrix(
        few_shot,
        fine_tuning,
        f"{lean}: {few} of 5 conditions for few-shot, {fine} of 5 for fine-tuning{rest}.",
    )
