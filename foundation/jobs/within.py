"""Which job the work of this thread belongs to, so that a job started by another one is known as its part."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_running: ContextVar[int | None] = ContextVar("running_job", default=None)


@contextmanager
def job(pk: int) -> Iterator[None]:
    """Whatever is started inside is part of this job."""
    token = _running.set(pk)
    try:
        yield
    finally:
        _running.reset(token)


def current_job() -> int | None:
    """The key of the job whose batch runs here, None outside of any."""
    return _running.get()
