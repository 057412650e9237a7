"""The states that rows of this app pass through, and who may follow whom.

Must not learn about tables: models take their choices from here.
"""

from __future__ import annotations

from enum import StrEnum


class ImportState(StrEnum):
    """A file on its way in. Its rows are visible only in `DONE`."""

    DRAFT = "draft"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class ExampleState(StrEnum):
    """Whether a row takes part: only active rows are checked, reviewed and frozen."""

    ACTIVE = "active"
    DROPPED = "dropped"
    REJECTED = "rejected"


class Severity(StrEnum):
    """How much a finding matters: an error spoils a claim, a warning deserves a look, a note is worth knowing."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


class Verdict(StrEnum):
    """What a reviewer said about one row."""

    ACCEPTED = "accepted"
    EDITED = "edited"
    REJECTED = "rejected"


class VersionState(StrEnum):
    """A version is being built, or frozen for ever; a failed one is kept for its reason."""

    BUILDING = "building"
    FROZEN = "frozen"
    FAILED = "failed"


class Split(StrEnum):
    """The three parts of a version, in reading order."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


class LookKind(StrEnum):
    """How a test was looked at: its rows were opened, a claim took figures from it, or a claim's rows were opened."""

    ROWS = "rows"
    CLAIM = "claim"
    RESULTS = "results"


# The source of an import whose rows a model wrote: they train, and are never tested on.
SYNTHETIC = "synthetic"


# Who may follow whom. A state that is not a key is final.
IMPORT_MOVES: dict[ImportState, frozenset[ImportState]] = {
    ImportState.DRAFT: frozenset({ImportState.RUNNING}),
    ImportState.RUNNING: frozenset({ImportState.DONE, ImportState.FAILED, ImportState.CANCELLED}),
    ImportState.FAILED: frozenset({ImportState.RUNNING}),
    ImportState.CANCELLED: frozenset({ImportState.RUNNING}),
}


def choices(kind: type[StrEnum]) -> list[tuple[str, str]]:
    """Pairs for a model field: value and words."""
    return [(member.value, member.value.capitalize()) for member in kind]
