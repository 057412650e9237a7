"""What happened, on its way to the database: a bounded queue, batches, and a file while the database is away.

The event loop only appends. Reading answers, measuring, masking and writing happen in one thread of this module.
It knows no table: `write` is given to it.
"""

from __future__ import annotations

import fcntl
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any

import orjson

from deployments.domain.features import features_of, label_in, prompt_of
from deployments.gateway.protocol import Reply, read_events, read_message
from deployments.gateway.routes import Address, Version
from foundation.llm.domain.messages import Usage

log = logging.getLogger(__name__)
LIMIT = 10_000
BATCH = 200
# Between two entries the thread lets the event loop have the interpreter, or an answer would wait for a switch.
YIELD_EVERY = 8
KEEP_AT_MOST = 200_000
SPILL_LIMIT_BYTES = 512 * 1024 * 1024
RETRY_S = 1.0
# A transaction costs as much as fifty rows: rows are gathered this long, so pages see them within a second.
GATHER_S = 0.4

# The request went out and its answer was lost or unreadable: it counts as charged, nobody knows how much.
LOST = frozenset(("client_gone", "timeout", "cut", "nonsense", "internal"))

Row = dict[str, Any]


class Away(Exception):
    """The database cannot be written to now; the rows are kept for later."""


@dataclass(slots=True)
class Entry:
    """One routed request, as the event loop leaves it: references, nothing worked out yet."""

    id: str
    address: Address
    version: Version
    arm: str
    bucket: int
    sticky_hash: str
    at: float
    body: dict[str, Any]
    is_stream: bool = False
    status: int = 0
    error: str = ""
    is_fallback: bool = False
    fallback_reason: str = ""
    shadow_of: str | None = None
    latency_ms: float = 0.0
    first_byte_ms: float | None = None
    # An answer as one value, or as the pieces of a stream.
    whole: dict[str, Any] | None = None
    chunks: list[bytes] = field(default_factory=list)
    confidence: float | None = None
    keeps_text: bool = False
    masks_text: bool = False
    reserved_microusd: int = 0
    # Asked in the other protocol: the answer is worded in it, the record is the same.
    is_chat: bool = False
    wants_usage: bool = False


def usage_of(reply: Reply, *, cut: bool, prompt_bytes: int) -> tuple[Usage, bool]:
    """Tokens, and whether they are an estimate: a stream that was cut says how it began, never how it ended."""
    said = {name: value for name, value in reply.usage.items() if isinstance(value, int) and value >= 0}
    written = said.get("cache_creation_input_tokens", 0)
    by_age = reply.usage.get("cache_creation")
    hour = by_age.get("ephemeral_1h_input_tokens", 0) if isinstance(by_age, dict) else 0
    hour = hour if isinstance(hour, int) else 0
    usage = Usage(
        input_tokens=said.get("input_tokens", 0),
        output_tokens=said.get("output_tokens", 0),
        cache_write_5m_tokens=max(0, written - hour),
        cache_write_1h_tokens=hour,
        cache_read_tokens=said.get("cache_read_input_tokens", 0),
    )
    if reply.usage_is_final or not cut:
        return usage, False
    # Three bytes a token errs on the dear side for English text.
    estimated = Usage(
        input_tokens=usage.input_tokens or prompt_bytes // 3 + 1,
        output_tokens=max(usage.output_tokens, len(reply.text.encode()) // 3 + 1),
        cache_write_5m_tokens=usage.cache_write_5m_tokens,
        cache_write_1h_tokens=usage.cache_write_1h_tokens,
        cache_read_tokens=usage.cache_read_tokens,
    )
    return estimated, True


def row_of(entry: Entry, *, mask: Callable[[str], str]) -> Row:
    """The row of one prediction as plain values."""
    version, address = entry.version, entry.address
    prompt = prompt_of(entry.body)
    reply = read_message(entry.whole) if entry.whole is not None else read_events(entry.chunks)
    is_local = version.provider == "local"
    cut = bool(entry.error) and (bool(entry.chunks) or entry.error in LOST) and not is_local
    usage, estimated = usage_of(reply, cut=cut, prompt_bytes=len(prompt.encode("utf-8", "replace")))
    if is_local:
        cost: int | None = 0
    else:
        cost = version.price.cost_microusd(usage) if version.price else None
    label = label_in(reply.text, version.labels) if version.labels and reply.text else ""
    prompt_text = answer_text = ""
    until = None
    at = datetime.fromtimestamp(entry.at, UTC)
    if entry.keeps_text:
        prompt_text, answer_text = clean(prompt), clean(reply.text)
        if entry.masks_text:
            prompt_text, answer_text = mask(prompt_text), mask(answer_text)
        until = at + timedelta(days=address.text_days)
    return {
        "kind": "prediction",
        "id": entry.id,
        "team_id": address.team_id,
        "endpoint_id": address.id,
        "version_id": version.id,
        "arm": entry.arm,
        "at": at.isoformat(),
        "status": entry.status,
        "error": entry.error,
        "is_fallback": entry.is_fallback,
        "fallback_reason": entry.fallback_reason,
        "shadow_of": entry.shadow_of,
        "sticky_hash": entry.sticky_hash,
        "is_sticky": entry.sticky_hash != "",
        "bucket": entry.bucket,
        "is_stream": entry.is_stream,
        "latency_ms": round(entry.latency_ms, 3),
        "first_byte_ms": None if entry.first_byte_ms is None else round(entry.first_byte_ms, 3),
        "input_tokens": usage.prompt_tokens,
        "output_tokens": usage.output_tokens,
        "usage_estimated": estimated,
        "cost_microusd": cost,
        "stop_reason": clean(reply.stop_reason)[:40],
        "features": features_of(prompt, answer=reply.text, label=label, vocabulary=version.vocabulary),
        "predicted": label[:200],
        "confidence": entry.confidence,
        "prompt_text": prompt_text,
        "answer_text": answer_text,
        "text_until": until.isoformat() if until else None,
        "text_masked": bool(until) and entry.masks_text,
    }


def clean(text: str) -> str:
    """Text any database takes: no NUL, no half surrogates, not endless."""
    return text[:KEEP_AT_MOST].replace("\0", "").encode("utf-8", "replace").decode()


class Spill:
    """Rows on disk, one JSON a line, until somebody can write them. Files of processes that died are found too."""

    def __init__(self, folder: Path, limit_bytes: int = SPILL_LIMIT_BYTES) -> None:
        self.folder, self.limit_bytes = folder, limit_bytes
        self.out: IO[bytes] | None = None
        self.rows = 0
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.bytes = sum(file.stat().st_size for file in folder.glob("*.jsonl"))

    def add(self, rows: list[Row]) -> int:
        """How many of the rows were kept: all, or none when the disk is full or the limit is reached."""
        raw = b"".join(orjson.dumps(row) + b"\n" for row in rows)
        if self.bytes + len(raw) > self.limit_bytes:
            return 0
        try:
            if self.out is None:
                name = self.folder / f"{time.time_ns()}-{os.getpid()}.jsonl"
                descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
                self.out = os.fdopen(descriptor, "ab", buffering=0)
                fcntl.flock(self.out, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.out.write(raw)
        except OSError:
            return 0
        self.bytes += len(raw)
        self.rows += len(rows)
        return len(rows)

    def waits(self) -> bool:
        """Whether there may be something to take back."""
        return self.bytes > 0

    def chunks(self) -> Iterator[list[Row]]:
        """The rows in batches; a file goes once its last batch was taken and the next one is asked for."""
        if self.out is not None:
            self.out.close()  # releases its lock
            self.out = None
        for path in sorted(self.folder.glob("*.jsonl")):
            try:
                file = path.open("rb")
            except OSError:
                continue
            with file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError:
                    continue  # another gateway is still writing to it
                batch: list[Row] = []
                for line in file:
                    try:
                        batch.append(orjson.loads(line))
                    except orjson.JSONDecodeError:
                        continue  # the last line of a process that was killed
                    if len(batch) >= BATCH:
                        yield batch
                        batch = []
                if batch:
                    yield batch
                path.unlink(missing_ok=True)
        self.bytes = sum(f.stat().st_size for f in self.folder.glob("*.jsonl"))

    def close(self) -> None:
        """Let go of the file, so that whoever comes next may take it."""
        if self.out is not None:
            self.out.close()
            self.out = None


class Recorder:
    """The thread between the event loop and the database. `write(rows)` raises Away when it cannot now."""

    def __init__(
        self,
        write: Callable[[list[Row]], int],
        spill: Spill,
        *,
        mask: Callable[[str], str],
        settle: Callable[[int, int, int], None] | None = None,
        limit: int = LIMIT,
        pause_s: float = GATHER_S,
    ) -> None:
        self.write, self.spill, self.mask, self.settle = write, spill, mask, settle
        self.limit, self.pause_s = limit, pause_s
        self.waiting: deque[Entry | Row] = deque()
        self.dropped = 0
        self.written = 0
        self.refused = 0
        self.is_away = False
        self._away_until = 0.0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def put(self, entry: Entry | Row) -> None:
        """Hand over what happened; never waits. Beyond the limit it is dropped and counted."""
        if len(self.waiting) >= self.limit:
            self.dropped += 1
            if isinstance(entry, Entry) and entry.reserved_microusd and self.settle:
                self.settle(entry.address.id, entry.reserved_microusd, entry.reserved_microusd)
            return
        self.waiting.append(entry)

    def start(self) -> None:
        """Begin to write."""
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._thread.start()

    def stop(self, patience_s: float = 10) -> None:
        """Write what waits, or spill it, then end."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(patience_s)
        self.spill.close()

    def _run(self) -> None:
        while True:
            stopping = self._stop.is_set()
            try:
                busy = self.step()
            except Exception:
                log.exception("The recorder stumbled; it goes on.")
                busy = False
            if stopping:
                if not self.waiting:
                    return
            elif not busy or len(self.waiting) < BATCH:
                self._stop.wait(self.pause_s)

    def step(self) -> bool:
        """Write one batch, or take one back from disk; False when there was nothing to do."""
        rows: list[Row] = []
        while self.waiting and len(rows) < BATCH:
            entry = self.waiting.popleft()
            rows.append(self._row(entry) if isinstance(entry, Entry) else entry)
            if len(rows) % YIELD_EVERY == 0:
                time.sleep(0.0005)
        if rows:
            self._keep(rows)
            return True
        if self.spill.waits() and time.monotonic() >= self._away_until and not self._stop.is_set():
            return self._take_back()
        return False

    def _row(self, entry: Entry) -> Row:
        row = row_of(entry, mask=self.mask)
        if entry.reserved_microusd and self.settle:
            # An answer that was cut may have been charged in full; nobody knows, so nothing comes back.
            known = row["cost_microusd"] is not None and not (entry.error and row["usage_estimated"])
            actual = row["cost_microusd"] if known else entry.reserved_microusd
            self.settle(entry.address.id, entry.reserved_microusd, actual)
        return row

    def _keep(self, rows: list[Row]) -> None:
        if time.monotonic() >= self._away_until:
            try:
                self._written(self.write(rows), len(rows))
                return
            except Away as reason:
                self._gone(reason)
        kept = self.spill.add(rows)
        self.dropped += len(rows) - kept

    def _take_back(self) -> bool:
        found = False
        try:
            for rows in self.spill.chunks():
                found = True
                self._written(self.write(rows), len(rows))
                if self.waiting:
                    # Fresh rows first, or a long file would fill the queue. What was written is ignored the next time.
                    self._keep_waiting()
        except Away as reason:
            self._gone(reason)
            return False
        return found

    def _keep_waiting(self) -> None:
        rows: list[Any] = []
        while self.waiting and len(rows) < BATCH:
            entry = self.waiting.popleft()
            rows.append(self._row(entry) if isinstance(entry, Entry) else entry)
        try:
            self._written(self.write(rows), len(rows))
        except Away:
            self.dropped += len(rows) - self.spill.add(rows)
            raise

    def _written(self, n_written: int, n_rows: int) -> None:
        self.is_away = False
        self.written += n_written
        self.refused += n_rows - n_written

    def _gone(self, reason: Away) -> None:
        if not self.is_away:
            log.warning("The database cannot be written to (%s). Predictions go to disk meanwhile.", reason)
        self.is_away = True
        self._away_until = time.monotonic() + RETRY_S
