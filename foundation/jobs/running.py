"""What a worker does with a batch it claimed: run it, write what came out, prolong its leases.

Nothing here knows Celery, a broker or a page. Doing any of it twice changes nothing.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from datetime import timedelta
from typing import Any, overload

from django.db import connection, transaction
from django.db.models import F
from django.utils import timezone

from foundation.jobs import claiming, outcomes, within
from foundation.jobs.claiming import WORKABLE, Claim, lease_length, rows
from foundation.jobs.domain.retrying import GiveUp, after_error
from foundation.jobs.domain.states import ItemState, JobState, states_before
from foundation.jobs.errors import LeaseLost, UnknownKind
from foundation.jobs.kinds import Outcome, Wait, get_kind
from foundation.jobs.models import Job
from foundation.jobs.outcomes import plain
from foundation.teams.errors import PortalError

log = logging.getLogger("foundation.jobs")

FLUSH_S = 0.5
MARK_AT_ONCE = 64
COMPLAIN_EVERY_S = 10.0


# Errors whose own words say nothing to people, by the name of their class (the loop knows no Celery).
PLAIN_WORDS = {
    "SoftTimeLimitExceeded": "It took longer than a piece of work may take. Try it with less at once.",
    "MemoryError": "It needs more memory than this machine has. Try it with less data.",
}


def sentence(error: BaseException) -> str:
    """An error in one line for people: a PortalError as it is, another with its type, never a traceback."""
    if words := PLAIN_WORDS.get(type(error).__name__):
        return words
    text = str(error).strip().splitlines()[0] if str(error).strip() else ""
    if isinstance(error, PortalError):
        return plain(str(error).strip()) or "It failed without saying why."
    return plain(f"{type(error).__name__}: {text}" if text else type(error).__name__, 300)


def fail(job: Job, reason: str) -> bool:
    """End a job as failed with one sentence. Returns whether this call did it. What was written is kept."""
    before = [state.value for state in states_before(JobState.FAILED)]
    moved = Job.objects.filter(pk=job.pk, state__in=before).update(
        state=JobState.FAILED, error=plain(reason, 1000), finished_at=timezone.now(), settled_at=None
    )
    if moved:
        with contextlib.suppress(UnknownKind):
            claiming.break_leases(job, get_kind(job.kind))
    return bool(moved)


def can_beat_in_a_thread() -> bool:
    """Whether a second connection sees this one's rows. Inside a test's transaction it does not."""
    if connection.in_atomic_block:
        return False
    return not (connection.vendor == "sqlite" and connection.is_in_memory_db())  # type: ignore[attr-defined]


class Ticker:
    """Calls `beat` about four times a second from a helper thread, until the block ends."""

    def __init__(self, beat: Callable[[], None], *, threaded: bool) -> None:
        self._beat = beat
        self._threaded = threaded
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Ticker:
        if self._threaded:
            self._thread = threading.Thread(target=self._loop, name="jobs-heartbeat", daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join(timeout=30)

    def _loop(self) -> None:
        complained_at = -COMPLAIN_EVERY_S
        try:
            while not self._over.wait(0.25):
                try:
                    self._beat()
                except Exception as error:
                    # A locked or absent database passes; the lease says when it did not pass in time.
                    if time.monotonic() - complained_at >= COMPLAIN_EVERY_S:
                        complained_at = time.monotonic()
                        log.warning("a heartbeat failed and is tried again: %s", sentence(error))
                    connection.close()
        finally:
            connection.close()


class Batch(Sequence[Any]):
    """The claimed items. Taking one out starts it: its attempt is counted before anything can go wrong.

    Fast items are marked some at a time (up to half a second of work), slow ones one by one.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._items = run.claim.items
        self.taken: set[int] = set()
        self.marked: set[int] = set()
        self._width = 1
        self._marked_at = 0.0

    @property
    def work(self) -> Run:
        """The running work these items belong to."""
        return self._run

    def peek(self) -> list[Any]:
        """The items, without starting any."""
        return list(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[Any]:
        for index in range(len(self._items)):
            if index not in self.taken and self._run.cancelled:
                return
            yield self._take(index)

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> list[Any]: ...
    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return [self._take(at) for at in range(*index.indices(len(self._items)))]
        return self._take(range(len(self._items))[index])

    def _take(self, index: int) -> Any:
        if index not in self.marked:
            self._mark(index)
        self.taken.add(index)
        return self._items[index]

    def _mark(self, index: int) -> None:
        now = time.monotonic()
        if self._marked_at:
            pace = now - self._marked_at
            if pace < FLUSH_S / 4:
                self._width = min(self._width * 2, MARK_AT_ONCE)
            elif pace > FLUSH_S:
                self._width = max(1, self._width // 4)
        chosen = [at for at in range(index, len(self._items)) if at not in self.marked][: self._width]
        claiming.start(self._run.claim, [self._items[at].pk for at in chosen])
        for at in chosen:
            self._items[at].attempts += 1
        self.marked.update(chosen)
        self._marked_at = time.monotonic()


class Run:
    """One claimed batch while it runs: what the kind may ask (`Work`), and the buffer of its answers."""

    def __init__(self, claim: Claim) -> None:
        self.claim = claim
        self.batch = Batch(self)
        self.lost = False
        self.stopping = False
        self.answered: set[int] = set()
        self._buffer: list[Outcome | Wait] = []
        self._buffered_at = 0.0
        self._lock = threading.RLock()
        self._trouble: BaseException | None = None
        self._renewed_at = self._asked_at = time.monotonic()
        self._progress_at = 0.0
        self._progress: dict[str, Any] = {}

    # --- what a kind may ask -----------------------------------------------------------------------------------
    @property
    def cancelled(self) -> bool:
        """Whether to begin nothing new: cancelled, paused, or taken over."""
        self._ask()
        return self.stopping or self.lost

    def heartbeat(self) -> None:
        """Renew the lease when a third of it has passed; write waiting answers and progress. Raises LeaseLost."""
        self.beat()
        self._raise()

    def progress(self, done: int, total: int, step: str = "") -> None:
        """Show progress inside a long item, at most twice a second (the last word is never swallowed)."""
        with self._lock:
            self._progress = {"part_done": max(0, int(done)), "part_total": max(0, int(total))}
            if step:
                self._progress["step"] = plain(step, 200)
        if time.monotonic() - self._progress_at >= FLUSH_S or done >= total:
            self._write_progress()
        self.heartbeat()

    def still_mine(self) -> None:
        """Raises LeaseLost when the lease was broken or taken over."""
        if not claiming.renew(self.claim):
            self.lost = True
        self._raise()

    # --- the framework's side ----------------------------------------------------------------------------------
    def beat(self) -> None:
        """Everything due by the clock: renewal, the question whether to stop, the flush, the progress."""
        now = time.monotonic()
        if now - self._renewed_at >= lease_length().total_seconds() / 3:
            if not claiming.renew(self.claim) and len(self.answered) < len(self.claim.items):
                with self._lock:
                    # Answers may have been written between the two looks.
                    self.lost = self.lost or len(self.answered) < len(self.claim.items)
            self._renewed_at = now
        self._ask()
        if self._buffer and now - self._buffered_at >= FLUSH_S:
            self.flush()
        if self._progress and now - self._progress_at >= FLUSH_S:
            self._write_progress()

    def take(self, answer: Outcome | Wait) -> None:
        """Keep an answer for the next flush."""
        self._raise()
        with self._lock:
            if not self._buffer:
                self._buffered_at = time.monotonic()
            self._buffer.append(answer)
            item = answer.item if answer.item is not None else self.claim.items[0]
            self.answered.add(item.pk)
        if time.monotonic() - self._buffered_at >= FLUSH_S:
            self.flush()

    def flush(self) -> None:
        """Write the buffered answers; what goes wrong is raised at the kind's next step."""
        with self._lock:
            answers, self._buffer = self._buffer, []
            if not answers or self.lost:
                return
            try:
                written = outcomes.write(self.claim, answers)
            except Exception as error:
                for answer in answers:
                    item = answer.item if answer.item is not None else self.claim.items[0]
                    self.answered.discard(item.pk)
                self._trouble = error
                return
            if written < len({a.item.pk if a.item is not None else 0 for a in answers}):
                self.lost = True
            failures = [a for a in answers if isinstance(a, Outcome) and a.state == ItemState.FAILED]
        if failures and self.claim.kind.all_or_nothing and not self.lost:
            fail(self.claim.job, failures[0].error)
            self.stopping = True

    def finish(self) -> None:
        """The last flush; raises what went wrong before."""
        self.flush()
        if self._progress:
            self._write_progress()
        self._raise()

    def _ask(self) -> None:
        if self.stopping or time.monotonic() - self._asked_at < 1.0:
            return
        self._asked_at = time.monotonic()
        state = Job.objects.filter(pk=self.claim.job.pk).values_list("state", flat=True).first()
        self.stopping = state not in WORKABLE

    def _write_progress(self) -> None:
        with self._lock:
            changes, self._progress = self._progress, {}
        self._progress_at = time.monotonic()
        if changes and not self.lost:
            Job.objects.filter(pk=self.claim.job.pk, state=JobState.RUNNING).update(**changes)

    def _raise(self) -> None:
        trouble, self._trouble = self._trouble, None
        if trouble is not None:
            raise trouble
        if self.lost:
            raise LeaseLost(f"{self.claim.job.kind}: items of job {self.claim.job.pk} were taken over")


def run_claim(held: Claim, *, threaded: bool) -> None:
    """Run one claimed batch to its end and settle every item of it: answered, given back, or tried again."""
    run = Run(held)
    trouble: Exception | None = None
    try:
        with Ticker(run.beat, threaded=threaded):
            try:
                with within.job(held.job.pk), contextlib.closing(_answers(held, run)) as answers:
                    for answer in answers:
                        run.take(answer)
            finally:
                # What was yielded before a fault is kept.
                run.flush()
        run.finish()
    except LeaseLost:
        log.info("job %s: a batch was taken over, what it had left is dropped", held.job.pk)
        return
    except Exception as error:
        trouble = error
        log.warning("job %s (%s): a batch failed", held.job.pk, held.job.kind, exc_info=True)
    _settle_rest(held, run, trouble)


def _answers(held: Claim, run: Run) -> Generator[Outcome | Wait, None, None]:
    yield from held.kind.run(held.job, run.batch, run)


def _settle_rest(held: Claim, run: Run, trouble: Exception | None) -> None:
    """Items without an answer: back in the queue when they did not start or people stopped, else another try."""
    batch = run.batch
    items = held.items
    open_at = [at for at, item in enumerate(items) if item.pk not in run.answered]
    if not open_at:
        return
    if trouble is None and run.stopping:
        pks = [items[at].pk for at in open_at]
        claiming.give_back(held, pks, uncount=[items[at].pk for at in open_at if at in batch.marked])
        return
    touched = [at for at in open_at if at in batch.taken]
    untouched = [at for at in open_at if at not in batch.taken]
    if trouble is None and untouched:
        # The kind ended without these: count it as an attempt, or it would be offered for ever.
        claiming.start(held, [items[at].pk for at in untouched if at not in batch.marked])
        for at in untouched:
            if at not in batch.marked:
                items[at].attempts += 1
        touched, untouched = open_at, []
    claiming.give_back(
        held,
        [items[at].pk for at in untouched],
        uncount=[items[at].pk for at in untouched if at in batch.marked],
    )
    reason = sentence(trouble) if trouble else "The work ended without an answer for this item."
    if trouble is not None and not touched and untouched:
        # It failed before any item was taken: the next attempt must count, or it would fail for ever.
        _count_unstarted_failure(held, [items[at] for at in untouched], reason)
        return
    definite = isinstance(trouble, PortalError) and len(touched) == 1
    for at in touched:
        _settle_error(held, items[at], reason, definite=definite)


def _count_unstarted_failure(held: Claim, items: list[Any], reason: str) -> None:
    """A kind that fails before its first item: count an attempt of the first, which then is tried alone."""
    first = items[0]
    max_attempts = held.kind.max_attempts
    table = rows(held.kind.item_model).filter(pk=first.pk, state=ItemState.QUEUED)
    verdict = after_error(first.attempts + 1, max_attempts, reason)
    with transaction.atomic():
        if isinstance(verdict, GiveUp):
            n = table.update(state=ItemState.FAILED, error=plain(reason), attempts=F("attempts") + 1)
            Job.objects.filter(pk=held.job.pk).update(failed=F("failed") + n)
        else:
            table.update(
                attempts=F("attempts") + 1,
                error=plain(reason),
                due_at=timezone.now() + timedelta(seconds=verdict.seconds),
            )
    if isinstance(verdict, GiveUp) and held.kind.all_or_nothing:
        fail(held.job, reason)


def _settle_error(held: Claim, item: Any, reason: str, *, definite: bool) -> None:
    verdict = after_error(item.attempts, held.kind.max_attempts, reason, definite=definite)
    if isinstance(verdict, GiveUp):
        n = claiming.settle_failed(held, [item.pk], plain(verdict.reason))
        if n and held.kind.all_or_nothing:
            fail(held.job, verdict.reason)
    else:
        claiming.give_back(held, [item.pk], due_at=timezone.now() + timedelta(seconds=verdict.seconds))
