"""Taking versions out as files: streamed, byte-stable, checked against providers' rules before the download."""

from __future__ import annotations

import csv
import hashlib
import io
import zipfile
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from typing import Any, BinaryIO

import orjson
from django.db import IntegrityError, transaction
from django.urls import reverse
from django.utils import timezone

from datasets.domain import cards
from datasets.domain.formats import EXPORTS, ExportFormat
from datasets.domain.leakage import leaks_of
from datasets.domain.linting import RULES, lint_file, lint_row
from datasets.domain.statuses import Split
from datasets.errors import Sealed
from datasets.models import BadRow, DatasetVersion, ExportCheck, Import
from datasets.policies import check_can_use
from datasets.reading import split_sizes, version_texts
from datasets.services.versions import has_looked
from foundation.jobs.models import Job
from foundation.jobs.services import start_job
from foundation.teams import audit
from foundation.teams.domain.csv_cells import safe_cell
from foundation.teams.errors import BadInput
from foundation.teams.models import User

# Rows named for each rule of each format; the count is of all.
SHOWN_ROWS = 20
# Bytes sent in one piece: a send a line is slow.
PIECE_BYTES = 65_536
# Lines written to a file in one piece.
LINES_AT_ONCE = 200
BAD_ROWS_A_PIECE = 1000
FOLDER = "hf"


def known_format(format: str) -> ExportFormat:
    """The format of that key. Raises BadInput naming those that are offered."""
    if format not in EXPORTS:
        raise BadInput(f"There is no format {format!r}. Choose one of {', '.join(EXPORTS)}.", field="format")
    return EXPORTS[format]


def export_lines(*, version: DatasetVersion, split: Split | str, format: str = "chat") -> Iterator[bytes]:
    """Lines of one split in one format, byte for byte the same each time.

    Raises: BadInput for a format or split that is not offered, Conflict while the version is not frozen.
    """
    check_can_use(version)
    known = known_format(format)
    if split not in list(Split):
        raise BadInput("The split is train, validation or test.", field="split")

    def lines() -> Iterator[bytes]:
        if known.head:
            yield known.head
        line, loads = known.line, orjson.loads
        for page in version_texts(version, split):
            for _, _, system, turns, prompt, completion, extra in page:
                yield line(system, loads(turns) if turns else [], prompt, completion, extra)

    return lines()


def in_pieces(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Lines joined into pieces of about PIECE_BYTES."""
    waiting: list[bytes] = []
    size = 0
    for line in lines:
        waiting.append(line)
        size += len(line)
        if size >= PIECE_BYTES:
            yield b"".join(waiting)
            waiting, size = [], 0
    if waiting:
        yield b"".join(waiting)


def export(
    *, actor: User | None, version: DatasetVersion, split: Split | str, stream: BinaryIO, format: str = "chat"
) -> int:
    """Write one split into an open file. Returns how many rows. A test split is a look that is recorded."""
    n = 0
    lines = export_lines(version=version, split=split, format=format)
    while part := list(islice(lines, LINES_AT_ONCE)):
        stream.write(b"".join(part))
        n += len(part)
    record_export(actor=actor, version=version, split=split, format=format)
    return n - bool(known_format(format).head)


class _Outbox:
    """What zipfile writes to: forwards only, emptied by whoever sends it on."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    def write(self, data: bytes) -> int:
        """Keep until taken."""
        self.pieces.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Nothing waits elsewhere."""

    def take(self) -> bytes:
        """What was written since the last time."""
        pieces, self.pieces = self.pieces, []
        return b"".join(pieces)


def export_folder(*, version: DatasetVersion, with_test: bool) -> Iterator[bytes]:
    """A folder for Hugging Face's libraries as a zip: a dataset card and one JSONL a split, streamed, byte-stable.

    Stored and not packed: what a deflate makes of the same bytes differs between releases of zlib.
    """
    check_can_use(version)
    splits = [split.value for split in Split if with_test or split != Split.TEST]
    sizes = {split: n for split, n in split_sizes(version).items() if split in splits and n}

    def pieces() -> Iterator[bytes]:
        out = _Outbox()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as folder:  # type: ignore[call-overload]
            with folder.open(_entry("README.md"), "w") as card:
                card.write(cards.dataset_card(**card_facts(version, sizes)).encode())
            for split in sizes:
                lines = export_lines(version=version, split=split, format="chat")
                with folder.open(_entry(f"data/{split}.jsonl"), "w", force_zip64=True) as file:
                    for piece in in_pieces(lines):
                        file.write(piece)
                        yield out.take()
        yield out.take()

    return pieces()


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
    entry.create_system, entry.external_attr = 3, 0o644 << 16
    return entry


def card_facts(version: DatasetVersion, sizes: dict[str, int]) -> dict[str, Any]:
    """What the card says of a version: nothing that is not frozen with it."""
    leakage = (version.report or {}).get("leakage")
    return {
        "name": version.dataset.name,
        "number": version.number,
        "checksum": version.checksum,
        "task_kind": version.task_kind,
        "labels": version.labels,
        "recipe": version.recipe,
        "sizes": sizes,
        "n_test": version.n_test,
        "leaks": None if leakage is None else leaks_of(leakage),
    }


def record_export(*, actor: User | None, version: DatasetVersion, split: Split | str, format: str) -> None:
    """Keep who took rows out. Raises Sealed when a person takes test rows without having opened them."""
    if split == Split.TEST and actor is not None and not has_looked(actor=actor, version=version):
        raise Sealed
    with transaction.atomic():
        audit.record(
            actor=actor,
            team=version.dataset.team,
            verb="version.exported",
            target=version,
            note=f"{split} as {format}",
        )


def bad_rows_csv(*, import_: Import) -> Iterator[bytes]:
    """Every bad row of an import as CSV, safe to open in a spreadsheet; one piece for each thousand rows."""

    def piece(rows: list[list[str]]) -> bytes:
        out = io.StringIO(newline="")
        csv.writer(out).writerows([[safe_cell(cell) for cell in row] for row in rows])
        return out.getvalue().encode()

    yield piece([["line", "column", "reason", "fix", "begins with"]])
    rows, line = BadRow.objects.filter(source=import_).order_by("line"), -1
    # Page by page: a cursor over all of them would stay open for as long as the reader takes.
    while page := list(rows.filter(line__gt=line)[:BAD_ROWS_A_PIECE]):
        yield piece([[str(bad.line), bad.column, bad.reason, bad.fix, bad.excerpt] for bad in page])
        line = page[-1].line


# --- checking before the download --------------------------------------------------------------------------------


def start_export_check(*, actor: User | None, version: DatasetVersion) -> ExportCheck:
    """The check of a version's files, its job on its way; the one that stands when there is one."""
    check_can_use(version)
    try:
        with transaction.atomic():
            found, is_new = ExportCheck.objects.get_or_create(
                version=version, defaults={"team_id": version.team_id}
            )
            if is_new:
                audit.record(actor=actor, team=version.team, verb="version.export_checked", target=version)
    except IntegrityError:
        found = ExportCheck.objects.get(version=version)
    if found.finished_at is None and (found.job is None or found.job.status.is_final):
        found.job = start_job(
            actor=actor,
            team=version.team,
            kind="datasets.export_check",
            title=f"Check exports of {version.dataset.name} version {version.number}",
            recipe={"version": version.pk},
            subject=version,
            url=reverse("datasets:version-exports", args=[version.pk]),
            dedupe_key=f"export-check:{version.pk}",
        )
        ExportCheck.objects.filter(pk=found.pk).update(job=found.job)
    return found


def check_exports(*, version: DatasetVersion, progress: Callable[[int, int], None]) -> dict[str, Any]:
    """Every row of every split in every format: what is against it, and the size and SHA-256 of each file."""
    sizes = split_sizes(version)
    n_rows = sum(sizes.values())
    rules: dict[str, dict[str, dict[str, Any]]] = {key: {} for key in EXPORTS}
    n_blocked, n_lossy = dict.fromkeys(EXPORTS, 0), dict.fromkeys(EXPORTS, 0)
    files: dict[str, dict[str, dict[str, Any]]] = {key: {} for key in EXPORTS}
    seen = 0
    for split in Split:
        hashes = {key: hashlib.sha256(known.head) for key, known in EXPORTS.items()}
        n_bytes = {key: len(known.head) for key, known in EXPORTS.items()}
        for position, example_id, system, told, prompt, completion, extra in chain.from_iterable(
            version_texts(version, split)
        ):
            seen += 1
            turns = orjson.loads(told) if told else []
            for key, known in EXPORTS.items():
                line = known.line(system, turns, prompt, completion, extra)
                hashes[key].update(line)
                n_bytes[key] += len(line)
            for key, found in lint_row(system, turns, prompt, completion, extra).items():
                blocks = any(RULES[rule].blocks for rule in found)
                n_blocked[key] += blocks
                n_lossy[key] += not blocks
                for rule in found:
                    entry = rules[key].setdefault(rule, {"n": 0, "rows": []})
                    entry["n"] += 1
                    if len(entry["rows"]) < SHOWN_ROWS:
                        entry["rows"].append([split.value, position, example_id])
            if seen % 500 == 0:
                progress(seen, n_rows)
        for key in EXPORTS:
            files[key][split.value] = {"bytes": n_bytes[key], "sha256": hashes[key].hexdigest()}
    progress(n_rows, n_rows)
    return {
        key: {
            "files": files[key],
            "rules": rules[key],
            "n_blocked": n_blocked[key],
            "n_lossy": n_lossy[key],
            "file_problems": lint_file(
                key, sizes, {split: found["bytes"] for split, found in files[key].items()}
            ),
        }
        for key in EXPORTS
    }


def finish_export_check(*, version: DatasetVersion, report: dict[str, Any], job: Job) -> None:
    """Keep the report. The same report twice is kept once."""
    with transaction.atomic():
        ExportCheck.objects.filter(version=version, finished_at=None).update(
            report=report, finished_at=timezone.now(), job=job
        )
