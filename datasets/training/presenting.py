"""What pages of training share: tones of states, names of backends, numbers from addresses."""

from __future__ import annotations

from datasets.domain.training import RunState
from datasets.training.contract import get_backend
from foundation.teams.errors import BadInput

TONES = {
    RunState.QUEUED: "",
    RunState.RUNNING: "live",
    RunState.SUCCEEDED: "good",
    RunState.FAILED: "bad",
    RunState.CANCELLED: "warn",
}


def title_of(name: str) -> str:
    """What people call a backend; its name where it is not known any more."""
    try:
        return get_backend(name).title
    except BadInput:
        return name


def decimal(text: str | None) -> int | None:
    """A cursor from an address; None for anything else."""
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 19 else None
