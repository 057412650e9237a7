"""The floor: what bare, careful Python can do with the same rows, so that our figures can be read as ratios."""

from __future__ import annotations

import hashlib
import sqlite3
import time
from pathlib import Path

import orjson


def import_floor(path: Path, database: Path) -> float:
    """Seconds to read JSONL, normalise, digest and insert each row into SQLite (WAL), in one process."""
    db = sqlite3.connect(database)
    db.executescript(
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"
        "CREATE TABLE content(id INTEGER PRIMARY KEY, digest BLOB, prompt TEXT, completion TEXT);"
        "CREATE INDEX by_digest ON content(digest);"
        "CREATE TABLE example(id INTEGER PRIMARY KEY, content INTEGER, line INTEGER, label TEXT);"
    )
    started = time.perf_counter()
    chunk: list[tuple[int, bytes, str, str]] = []

    def flush() -> None:
        with db:
            db.executemany("INSERT INTO content VALUES (?,?,?,?)", chunk)
            db.executemany("INSERT INTO example VALUES (?,?,?,?)", [(c[0], c[0], c[0], c[3]) for c in chunk])
        chunk.clear()

    with open(path, "rb") as lines:
        for number, line in enumerate(lines, 1):
            row = orjson.loads(line)
            text = " ".join(row["text"].split())
            digest = hashlib.sha256(f"{text}\0{row['label']}".encode()).digest()
            chunk.append((number, digest, text, row["label"]))
            if len(chunk) == 2000:
                flush()
    flush()
    seconds = time.perf_counter() - started
    db.close()
    return seconds
