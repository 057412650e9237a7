"""Where bytes live: one folder, each file under its own SHA-256. An S3-compatible store can stand behind the
same five functions later; nothing outside this module may build a path."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from django.conf import settings
from django.db import IntegrityError, transaction

from foundation.files import names
from foundation.files.errors import FileMissing, StoreUnwritable
from foundation.files.models import Blob
from foundation.files.uploads import too_large
from foundation.teams.models import Team, User
from foundation.ui.downloads import FileDownload

CHUNK_BYTES = 1024 * 1024
# A file without a row is only rubbish once no upload can still be on its way to writing that row.
ORPHAN_AGE_S = 24 * 3600
_SHA256 = re.compile(r"[0-9a-f]{64}")


def _root() -> Path:
    return Path(settings.FILES_DIR)


def _place(sha256: str) -> Path:
    if not _SHA256.fullmatch(sha256):
        raise ValueError("not a SHA-256 digest")
    return _root() / sha256[:2] / sha256


def _chunks(source: BinaryIO | bytes) -> Iterator[bytes]:
    if isinstance(source, bytes | bytearray | memoryview):
        yield bytes(source)
        return
    while chunk := source.read(CHUNK_BYTES):
        yield chunk


def _write(source: BinaryIO | bytes, limit_bytes: int) -> tuple[str, int]:
    """Bytes to their place; answers their digest and size. Nothing is left behind when it fails."""
    waiting = _root() / "incoming"
    temporary = waiting / uuid.uuid4().hex
    digest, size = hashlib.sha256(), 0
    try:
        waiting.mkdir(parents=True, exist_ok=True, mode=0o700)
        with temporary.open("xb") as out:
            for chunk in _chunks(source):
                size += len(chunk)
                if size > limit_bytes:
                    raise too_large(limit_bytes)
                digest.update(chunk)
                out.write(chunk)
            out.flush()
            os.fsync(out.fileno())
        sha256 = digest.hexdigest()
        place = _place(sha256)
        if place.exists() and place.stat().st_size == size:
            os.utime(place)  # younger again, so that the sweep keeps it until its new row is written
        else:
            place.parent.mkdir(exist_ok=True, mode=0o700)
            temporary.replace(place)
        return sha256, size
    except OSError as error:
        raise StoreUnwritable(f"The file could not be stored: {error.strerror}. Nothing was kept.") from None
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def put(
    *,
    team: Team,
    stream: BinaryIO | bytes,
    name: str,
    kind: str,
    actor: User | None = None,
    content_type: str = "application/octet-stream",
    limit_bytes: int | None = None,
) -> Blob:
    """The team's blob with these bytes; `.was_known` is true when the team had them before under this kind.

    Streamed: memory stays at one chunk. Raises: TooLarge over `limit_bytes` (else UPLOAD_MAX_BYTES),
    StoreUnwritable.
    """
    limit = settings.UPLOAD_MAX_BYTES if limit_bytes is None else limit_bytes
    sha256, size = _write(stream, limit)
    try:
        with transaction.atomic():
            blob, created = Blob.objects.get_or_create(
                team=team,
                sha256=sha256,
                kind=kind,
                defaults={
                    "size": size,
                    "name": names.clean(name),
                    "content_type": names.clean(content_type)[:100],
                    "created_by": actor,
                },
            )
    except IntegrityError:  # the same bytes came in twice at once; the other one's row stands
        blob, created = Blob.objects.get(team=team, sha256=sha256, kind=kind), False
    blob.was_known = not created
    return blob


def path(blob: Blob) -> Path:
    """Where the bytes are on this machine. Raises FileMissing."""
    place = _place(blob.sha256)
    if not place.exists():
        raise FileMissing(
            f"The bytes of “{blob.name}” are gone from the store. Restore them from the backup."
        )
    return place


def open(blob: Blob) -> BinaryIO:
    """The bytes, opened for reading. Raises FileMissing."""
    return path(blob).open("rb")


def kept(sha256: str) -> Path | None:
    """Where the bytes of a digest are, for a backup; None when they are gone."""
    place = _place(sha256)
    return place if place.exists() else None


def adopt(sha256: str, file: Path) -> bool:
    """Move a file whose digest was checked to its place; False when it was there already. Raises StoreUnwritable."""
    place = _place(sha256)
    if place.exists():
        return False
    try:
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        shutil.move(file, place)
    except OSError as error:
        raise StoreUnwritable(f"A file could not be put back: {error.strerror}.") from None
    return True


def download_response(blob: Blob, filename: str | None = None) -> FileDownload:
    """The bytes as an attachment no browser will run or render, whatever they are."""
    response = FileDownload(
        open(blob),
        as_attachment=True,
        filename=names.clean(filename or blob.name),
        content_type="application/octet-stream",
    )
    response["X-Content-Type-Options"] = "nosniff"
    response["Content-Security-Policy"] = "default-src 'none'; sandbox"
    response["Cache-Control"] = "private, no-store"
    return response


def sweep_orphans(*, now_s: float | None = None) -> int:
    """How many files without any row, and older than a day, were removed. Safe to repeat."""
    removed, now_s = 0, time.time() if now_s is None else now_s
    for folder in sorted(_root().glob("*")) if _root().exists() else ():
        if not folder.is_dir():
            continue
        files = [f for f in folder.iterdir() if f.is_file() and now_s - f.stat().st_mtime > ORPHAN_AGE_S]
        if folder.name == "incoming":
            doomed = files
        elif re.fullmatch(r"[0-9a-f]{2}", folder.name):
            known = set(
                Blob.objects.filter(sha256__in=[f.name for f in files]).values_list("sha256", flat=True)
            )
            doomed = [f for f in files if f.name not in known]
        else:
            continue
        for file in doomed:
            file.unlink(missing_ok=True)
            removed += 1
    return removed
