"""The kinds and states of this app's rows, and who may follow whom. Models take their choices from here."""

from __future__ import annotations

from enum import StrEnum


class CandidateKind(StrEnum):
    """What can answer. The first two are floors every other one has to beat."""

    MAJORITY = "majority"
    NEAREST = "nearest"
    TRAINED = "trained"
    PROMPT = "prompt"

    @property
    def label(self) -> str:
        """What people read."""
        return KIND_LABELS[self]

    @property
    def is_local(self) -> bool:
        """Whether it answers inside the portal, free and in bulk."""
        return self is not CandidateKind.PROMPT


KIND_LABELS = {
    CandidateKind.MAJORITY: "Majority answer",
    CandidateKind.NEAREST: "Nearest example",
    CandidateKind.TRAINED: "Trained here",
    CandidateKind.PROMPT: "Model with a prompt",
}


class EvaluationState(StrEnum):
    """Where an evaluation stands; it follows its job."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Whether nothing more happens by itself."""
        return self is not EvaluationState.RUNNING


# A finished one goes back to running only when failed rows are tried again.
EVALUATION_MOVES: dict[EvaluationState, frozenset[EvaluationState]] = {
    EvaluationState.RUNNING: frozenset(
        {EvaluationState.DONE, EvaluationState.FAILED, EvaluationState.CANCELLED}
    ),
    EvaluationState.DONE: frozenset({EvaluationState.RUNNING}),
    EvaluationState.FAILED: frozenset({EvaluationState.RUNNING}),
    EvaluationState.CANCELLED: frozenset(),
}


class ComparisonState(StrEnum):
    """A comparison is planned with its margins before the results are there, then decided once."""

    WAITING = "waiting"
    DONE = "done"
    FAILED = "failed"


class LookKind(StrEnum):
    """Why test rows were touched: for a claim (figures only) or to read the rows themselves."""

    CLAIM = "claim"
    ROWS = "rows"


class Verdict(StrEnum):
    """What a comparison says of one measure."""

    BETTER = "better"
    WORSE = "worse"
    EQUIVALENT = "equivalent"
    UNDECIDED = "undecided"

    @property
    def tone(self) -> str:
        """The pill it is shown in."""
        return {"better": "good", "worse": "bad", "equivalent": "live", "undecided": ""}[self.value]


def choices(kind: type[StrEnum]) -> list[tuple[str, str]]:
    """Pairs for a model field: value and words."""
    return [(member.value, getattr(member, "label", member.value.capitalize())) for member in kind]
