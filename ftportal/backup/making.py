"""Making a backup of a portal that runs: the database first, then the files it names."""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.utils import timezone

from foundation.files import store
from ftportal.backup.archive import Say, Writer
from ftportal.backup.databases import snapshot


class CannotBackUp(Exception):
    """One sentence for who typed the command."""


@dataclass(frozen=True, slots=True)
class Made:
    """What went into a backup. `missing` are files the database names and the folder does not have."""

    n_rows: int
    n_files: int
    size_bytes: int
    missing: list[str]


def key_marks() -> list[str]:
    """What tells two sets of portal keys apart without telling the keys."""
    return [
        hashlib.sha256(b"ftportal portal key\0" + key.encode()).hexdigest()[:16]
        for key in settings.PORTAL_KEYS
    ]


def make_backup(path: Path, say: Say) -> Made:
    """Write the archive to `path`. The portal may run meanwhile. Raises CannotBackUp; nothing half is left behind.

    The keys that open stored provider keys are not in it: who finds the file must not find both.
    """
    path = path.absolute()
    if path.exists():
        raise CannotBackUp(f"{path.name} is there already. Give the backup another name.")
    try:
        with (
            tempfile.TemporaryDirectory(prefix=".backup-", dir=path.parent) as folder,
            Writer(path) as archive,
        ):
            taken = snapshot(Path(folder), say)
            for name, part in taken.parts.items():
                archive.add(name, part)
                part.unlink()
            missing = []
            for number, sha256 in enumerate(taken.blobs, 1):
                place = store.kept(sha256)
                if place is None:
                    missing.append(sha256)
                    continue
                archive.add(f"files/{sha256}", place)
                say(f"{number:,} of {len(taken.blobs):,} files")
            archive.finish(
                {
                    "made_at": timezone.now().isoformat(timespec="seconds"),
                    "engine": taken.engine,
                    "migrations": taken.migrations,
                    "rows": taken.rows,
                    "columns": taken.columns,
                    "missing": missing,
                    "keys": key_marks(),
                }
            )
    except OSError as error:
        raise CannotBackUp(
            f"The backup could not be written: {error.strerror or error}. Nothing was kept."
        ) from None
    return Made(sum(taken.rows.values()), len(taken.blobs) - len(missing), path.stat().st_size, missing)
