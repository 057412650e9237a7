"""Telling workers that there is work. A lost ring loses nothing: the tick rings again."""

from __future__ import annotations

from foundation.jobs.models import Job


def ring_after_commit(job: Job) -> None:
    """Ring for a job once its transaction is committed, off this thread."""
