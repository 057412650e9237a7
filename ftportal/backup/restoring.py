"""Putting a backup in the place of a portal: everything is checked before anything is touched."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from datasets.services.imports import index_anew
from deployments.gateway import publishing, routes
from deployments.services.routing import begin_new_epoch
from foundation.files import store
from foundation.files.errors import StoreUnwritable
from foundation.teams import audit
from foundation.teams.models import Team, User
from ftportal.backup import databases
from ftportal.backup.archive import SQLITE, BadArchive, Say, unpack
from ftportal.backup.making import CannotBackUp, key_marks, make_backup


class CannotRestore(Exception):
    """One sentence for who typed the command."""


@dataclass(frozen=True, slots=True)
class Restored:
    """What was put back. `kept_in` holds the portal that was there before, when there was one."""

    made_at: str
    n_rows: int
    n_files: int
    missing: list[str]
    keys_fit: bool
    kept_in: Path | None


def is_empty() -> bool:
    """Whether nobody works here yet: no database, or one without people and teams."""
    if connection.vendor == "sqlite":
        place = databases.sqlite_path()
        if not place.exists() or place.stat().st_size == 0:
            return True
    tables = connection.introspection.table_names()
    if User._meta.db_table not in tables:
        return not tables
    return not (User.objects.exists() or Team.objects.exists())


def restore(path: Path, say: Say, *, force: bool = False) -> Restored:
    """Make the portal what it was when the backup was made. Nobody else may use it meanwhile.

    `force` puts it in the place of a portal that is not empty; that one is kept beside it.
    Raises: CannotRestore, with everything as it was.
    """
    try:
        was_empty = is_empty()
        if not was_empty and not force:
            raise CannotRestore(
                "This portal is not empty: people or teams are in it. Restore into an empty VAR_DIR, or say --force."
            )
        settings.VAR_DIR.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".restore-", dir=settings.VAR_DIR) as name:
            folder = Path(name)
            manifest = unpack(path, folder, say)
            _check(manifest, folder)
            old = settings.VAR_DIR / f"before-restore-{timezone.now():%Y%m%d-%H%M%S}"
            # Files first: their names are their digests, so they stand in nobody's way if the rest fails.
            n_files = _put_files(folder)
            _put(manifest, folder, old, say, was_empty=was_empty)
    except BadArchive as error:
        raise CannotRestore(f"{path.name} was not restored. {error} Nothing was changed.") from None
    except (CannotBackUp, StoreUnwritable) as error:
        raise CannotRestore(str(error)) from None
    except FileNotFoundError:
        raise CannotRestore(f"There is no file {path}.") from None
    except OSError as error:
        raise CannotRestore(f"The backup could not be unpacked: {error.strerror or error}.") from None
    databases.migrate_forward()
    index_anew()
    _begin_anew(manifest)
    return Restored(
        manifest["made_at"],
        sum(manifest["rows"].values()),
        n_files,
        manifest.get("missing", []),
        bool(set(manifest["keys"]) & set(key_marks())),
        old if old.exists() else None,
    )


def _check(manifest: dict[str, Any], folder: Path) -> None:
    if manifest["engine"] != connection.vendor:
        raise BadArchive(
            f"It holds a {manifest['engine']} database and this portal runs on {connection.vendor}."
        )
    databases.check_known(manifest["migrations"])
    if manifest["engine"] == "sqlite":
        if SQLITE not in manifest["members"]:
            raise BadArchive("It holds no database.")
        databases.check_sqlite(folder / SQLITE, manifest)
    else:
        databases.check_nobody_else()


def _put(manifest: dict[str, Any], folder: Path, old: Path, say: Say, *, was_empty: bool) -> None:
    if manifest["engine"] == "sqlite":
        databases.put_sqlite(folder / SQLITE, old)
    else:
        if not was_empty:
            old.mkdir(mode=0o700)
            make_backup(old / "portal.ftbackup", say)
        databases.put_postgresql(folder, manifest, say)
    # Routes, money and predictions on disk belong to the history that was there before.
    if (gateway := settings.VAR_DIR / "gateway").exists():
        old.mkdir(parents=True, exist_ok=True, mode=0o700)
        shutil.move(gateway, old / "gateway")


def _put_files(folder: Path) -> int:
    found = sorted((folder / "files").glob("*")) if (folder / "files").exists() else []
    for file in found:
        store.adopt(file.name, file)
    return len(found)


def _begin_anew(manifest: dict[str, Any]) -> None:
    with transaction.atomic():
        # Gateways must take this routing although its numbers are older than what they serve.
        begin_new_epoch()
        for team in Team.objects.order_by("pk"):
            audit.record(
                actor=None,
                team=team,
                verb="portal.restored",
                target=None,
                note=f"from a backup made {manifest['made_at']}",
            )
    routes.write(publishing.build(), settings.VAR_DIR / "gateway")
