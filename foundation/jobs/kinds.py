"""The three shapes of long work and the register of kinds. An upper floor subclasses; the roof registers.

Nothing here knows a broker or a page.
"""

from __future__ import annotations

import signal
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from django.core.exceptions import ImproperlyConfigured
from django.db import models

from foundation.jobs.domain.states import ItemState
from foundation.jobs.errors import UnknownKind
from foundation.jobs.models import Job, Shard, WorkItem
from foundation.jobs.supervising import supervise


@dataclass(frozen=True, slots=True)
class Plan:
    """One chunk of planned items; `next_cursor` is where planning goes on, None when this was the last chunk.

    Items are unsaved. One without a position gets the next free one. At most about 1,000 items a chunk.
    """

    items: Sequence[WorkItem]
    next_cursor: int | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one item: its end state, the fields to write on its row, what it cost in micro-dollars.

    `result` goes to the item's field of that name where it has one; `fields` are further columns of the item.
    `data` is for `kind.store` alone and is written nowhere by the framework.
    """

    item: WorkItem
    result: Mapping[str, Any] = field(default_factory=dict)
    fields: Mapping[str, Any] = field(default_factory=dict)
    cost_microusd: int = 0
    state: ItemState = ItemState.DONE
    error: str = ""
    data: Any = None

    @classmethod
    def failure(cls, item: WorkItem, reason: str, **more: Any) -> Outcome:
        """The item is settled as failed, with a reason people read; a retry by hand may run it again."""
        return cls(item, state=ItemState.FAILED, error=reason, **more)

    @classmethod
    def skip(cls, item: WorkItem, reason: str = "", **more: Any) -> Outcome:
        """The item needs no work."""
        return cls(item, state=ItemState.SKIPPED, error=reason, **more)


@dataclass(frozen=True, slots=True)
class Wait:
    """A polled item is not ready: ask again in `seconds`; `note` is shown as the job's step."""

    seconds: float
    note: str = ""
    item: WorkItem | None = None


class Work(Protocol):
    """What a running kind may ask of the framework."""

    @property
    def cancelled(self) -> bool:
        """Whether somebody asked to stop (cancel or pause): finish what is in flight, begin nothing new."""

    def heartbeat(self) -> None:
        """Say that a long single item is alive. Raises LeaseLost when it was taken over."""

    def progress(self, done: int, total: int, step: str = "") -> None:
        """Show progress inside a long item. Written at most twice a second."""

    def still_mine(self) -> None:
        """Raises LeaseLost when the work was taken over; ask before an effect outside the database."""


class Kind:
    """Work in batches: plan items in chunks, run a claimed batch, yield an outcome an item, finish.

    `plan` and `finish` must be idempotent: after a crash the same cursor or the same finish comes again.
    In `run`, taking an item out of `items` (iterating, indexing) is what starts it and counts its attempt;
    `items.peek()` looks without starting. When somebody cancels or pauses, iteration ends by itself.
    """

    name: str = ""
    title: str = ""
    queue: str = "default"
    item_model: type[WorkItem] = Shard
    batch_size: int = 50
    max_attempts: int = 3
    # How many batches of one job may run at the same time.
    parallel: int = 4
    # One failed item fails the whole job at once (an import), instead of being listed beside the others.
    all_or_nothing: bool = False
    # Whether a failed job of this kind may run again what failed; None: unless it is all or nothing.
    retryable: bool | None = None
    # No notice in the inbox when it ends well (small or clock-driven work).
    quiet: bool = False
    # Team admins may start it by the clock; its recipe is then what they wrote, plus "slot".
    schedulable: bool = False
    # What its items are to people ("rows"); empty where a word would say nothing.
    counted: str = ""
    # What cancelling does to what was done so far, for the dialog; empty: see `when_cancelled`.
    cancelling: str = ""
    # The name of the Celery task that carries it.
    task: str = "jobs.run_batch"

    @property
    def when_cancelled(self) -> str:
        """One sentence on what stays when a person cancels."""
        if self.cancelling:
            return self.cancelling
        return "Nothing of it is kept." if self.all_or_nothing else "What is done is kept."

    def plan(self, job: Job, cursor: int) -> Plan:
        """The next chunk of items from `cursor` (0 at first). The default is a single item."""
        return Plan([self.item_model(job=job, position=0)])

    def run(self, job: Job, items: Sequence[Any], work: Work) -> Iterator[Outcome | Wait]:
        """Yield one outcome an item, as each is ready."""
        raise NotImplementedError

    def store(self, job: Job, outcomes: Sequence[Outcome]) -> None:
        """Write related rows for outcomes that passed the fence; same transaction, under 40 ms."""

    def finish(self, job: Job) -> dict[str, Any] | None:
        """After the last item: the result's summary. A PortalError fails the job with its sentence."""
        return None

    def abandoned(self, job: Job) -> None:
        """After a cancel or a failure: remove what was staged. May come more than once."""


class SubprocessKind(Kind):
    """One long supervised child process an item: `python -m <command>`, progress as JSON lines on stdout.

    A line is `{"done": 1, "total": 9, "step": "…", "data": {…}}`; every part may be missing; `data` is merged.
    Terminate means cancel. Input and output go by files whose paths stand in the command.
    """

    queue = "training"
    batch_size = 1
    parallel = 1
    task = "jobs.supervise"
    # Seconds between SIGTERM and SIGKILL on cancel: time for a checkpoint.
    grace_s: float = 5.0

    def command(self, job: Job, item: Any) -> list[str]:
        """Module and arguments of the child, as they follow `python -m`."""
        raise NotImplementedError

    def environment(self, job: Job, item: Any) -> dict[str, str]:
        """Further environment variables of the child."""
        return {}

    def collect(
        self, job: Job, item: Any, data: dict[str, Any], returncode: int, stderr_tail: str
    ) -> Outcome:
        """What the ended child means. The default fails on a return code other than 0."""
        if returncode:
            return Outcome.failure(item, why_it_ended(returncode, stderr_tail))
        return Outcome(item, result=data)

    def run(self, job: Job, items: Sequence[Any], work: Work) -> Iterator[Outcome | Wait]:
        """Supervise one child an item; a cancelled child leaves its item unanswered, so that it may run again."""
        for item in items:
            ended = supervise(
                self.command(job, item),
                work=work,
                grace_s=self.grace_s,
                environment=self.environment(job, item),
            )
            if ended.was_cancelled:
                return
            yield self.collect(job, item, ended.data, ended.returncode, ended.stderr_tail)


class RemoteKind(Kind):
    """Work that somebody else does: each poll is short and idempotent, and may say how long to wait."""

    queue = "remote"
    batch_size = 20
    parallel = 1
    task = "jobs.poll"

    def poll(self, job: Job, item: Any) -> Outcome | Wait:
        """Ask once how the item stands."""
        raise NotImplementedError

    def run(self, job: Job, items: Sequence[Any], work: Work) -> Iterator[Outcome | Wait]:
        """Poll each item once."""
        for item in items:
            answer = self.poll(job, item)
            yield Wait(answer.seconds, answer.note, item) if isinstance(answer, Wait) else answer


def why_it_ended(returncode: int, stderr_tail: str) -> str:
    """One sentence on why a child failed: its last words, or the signal that ended it."""
    if returncode == -signal.SIGKILL:
        return "The system ended the process, probably for want of memory. Try it with less data or smaller settings."
    if returncode < 0:
        return f"The process was ended by signal {-returncode}."
    return last_line(stderr_tail) or f"The process ended with code {returncode} and said nothing."


def last_line(text: str) -> str:
    """The last line that says something, at most 300 characters: what a traceback ends with."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else ""


_kinds: dict[str, Kind] = {}


def register_kinds(kinds: Iterable[type[Kind]]) -> None:
    """Make kinds known by their names. The same class twice is harmless; a name taken by another is refused."""
    for cls in kinds:
        if not cls.name:
            raise ImproperlyConfigured(f"{cls.__qualname__} has no name.")
        known = _kinds.get(cls.name)
        if known is not None and type(known) is not cls:
            raise ImproperlyConfigured(
                f"Two kinds of work are called {cls.name}: {type(known).__qualname__} and {cls.__qualname__}."
            )
        unique = [
            constraint
            for constraint in cls.item_model._meta.constraints
            if isinstance(constraint, models.UniqueConstraint)
            and tuple(constraint.fields) == ("job", "position")
        ]
        if not unique:
            raise ImproperlyConfigured(
                f"{cls.item_model.__name__}.Meta must inherit WorkItem.Meta: planning twice would write items twice."
            )
        _kinds[cls.name] = cls()


def get_kind(name: str) -> Kind:
    """The kind registered as `name`. Raises UnknownKind."""
    try:
        return _kinds[name]
    except KeyError:
        raise UnknownKind(name) from None


def all_kinds() -> list[Kind]:
    """Every registered kind, by name."""
    return [_kinds[name] for name in sorted(_kinds)]


def item_models() -> list[type[WorkItem]]:
    """Every table that holds work items of a registered kind."""
    return sorted({kind.item_model for kind in _kinds.values()}, key=lambda model: model._meta.label)
