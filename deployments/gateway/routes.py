"""The routing snapshot: a checked document on disk and in memory, and what is made of it for answering requests.

Knows no database: `publishing.py` makes the document, this module judges and reads it.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import orjson

from deployments.domain.features import Vocabulary
from deployments.domain.routing import Split
from foundation.llm.domain.pricing import Price, Rates

SCHEMA = 1
FILE_NAME = "routes.json"


class BadSnapshot(Exception):
    """The snapshot cannot be used; the text says why. The last good one stays."""


def checksum(schema: int, epoch: str, number: int, body: Mapping[str, Any]) -> str:
    """SHA-256 over everything that matters, in one spelling."""
    return hashlib.sha256(
        orjson.dumps([schema, epoch, number, body], option=orjson.OPT_SORT_KEYS)
    ).hexdigest()


def document(body: Mapping[str, Any], *, epoch: str, number: int) -> dict[str, Any]:
    """The snapshot as it is stored."""
    return {
        "schema": SCHEMA,
        "epoch": epoch,
        "number": number,
        "sha256": checksum(SCHEMA, epoch, number, body),
        "body": body,
    }


def parsed(raw: bytes) -> dict[str, Any]:
    """The document in `raw`. Raises BadSnapshot for anything truncated, changed or of another schema."""
    try:
        found = orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise BadSnapshot("it is not whole JSON") from None
    if not isinstance(found, dict):
        raise BadSnapshot("it is not a snapshot")
    check(found)
    return found


def check(found: Mapping[str, Any]) -> None:
    """Raises BadSnapshot unless schema and checksum are right."""
    if found.get("schema") != SCHEMA:
        raise BadSnapshot(f"its schema is {found.get('schema')!r}, this gateway reads {SCHEMA}")
    body, number, epoch = found.get("body"), found.get("number"), found.get("epoch")
    if not isinstance(body, dict) or not isinstance(number, int) or not isinstance(epoch, str):
        raise BadSnapshot("parts of it are missing")
    if found.get("sha256") != checksum(SCHEMA, epoch, number, body):
        raise BadSnapshot("its checksum is wrong")


def check_is_newer(found: Mapping[str, Any], current: Mapping[str, Any] | None) -> None:
    """Raises BadSnapshot when `found` is older than what is served. Another epoch counts anew."""
    if current is not None and found["epoch"] == current["epoch"] and found["number"] < current["number"]:
        raise BadSnapshot(f"its number {found['number']} is older than {current['number']}")


def write(found: Mapping[str, Any], folder: Path) -> None:
    """Put the document on disk: readable by this account only, whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor, name = tempfile.mkstemp(dir=folder, prefix=".routes-")  # mkstemp makes it 0600
    try:
        with os.fdopen(descriptor, "wb") as out:
            out.write(orjson.dumps(found))
            out.flush()
            os.fsync(out.fileno())
        Path(name).replace(folder / FILE_NAME)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise


def read(folder: Path) -> dict[str, Any]:
    """The document on disk. Raises BadSnapshot."""
    try:
        raw = (folder / FILE_NAME).read_bytes()
    except OSError as error:
        raise BadSnapshot(f"it cannot be read ({error.strerror})") from None
    return parsed(raw)


@dataclass(frozen=True, slots=True)
class Version:
    """Everything needed to answer with one model version."""

    id: int
    label: str
    provider: str
    model: str
    system: str = ""
    few_shot: tuple[dict[str, Any], ...] = ()
    max_tokens: int | None = None
    output_config: Mapping[str, Any] = field(default_factory=dict)
    labels: tuple[str, ...] = ()
    artefact: str = ""
    url: str = ""
    # Ready-made headers with the provider's key. Empty with a `trouble`.
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    price: Price | None = None
    vocabulary: Vocabulary | None = None
    # The tasks it learnt, where it learnt several: each prompt must name one of them.
    tasks: tuple[str, ...] = ()
    # Why this version cannot answer, in a sentence; "" when it can.
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Address:
    """One endpoint as the gateway sees it."""

    id: int
    team_id: int
    slug: str
    split: Split
    system_policy: str
    falls_back: bool
    text_retention: str
    text_share: float
    text_days: int
    timeout_s: float
    max_in_flight: int
    requests_per_minute: int | None
    has_budget: bool
    # Which task it serves; named in the prompts of versions that learnt several.
    task: str = ""


@dataclass(frozen=True, slots=True)
class Routes:
    """A snapshot made ready: every look-up of a request is one dictionary."""

    epoch: str
    number: int
    addresses: Mapping[str, Address]
    versions: Mapping[int, Version]
    # sha256 of a token -> (endpoint id, end of its life in seconds since 1970 or None)
    tokens: Mapping[str, tuple[int, float | None]] = field(repr=False, default_factory=dict)


KeyOpener = Callable[[Mapping[str, Any]], str]


def ready(found: Mapping[str, Any], open_key: KeyOpener) -> Routes:
    """Routes from a checked document. `open_key(version)` gives the provider key or raises with a sentence.

    A version whose key or price cannot be read makes its own requests fail, not the others'. Raises BadSnapshot.
    """
    body = found["body"]
    try:
        versions = {int(v["id"]): _version(v, open_key) for v in body["versions"]}
        addresses = {a["slug"]: _address(a, versions) for a in body["endpoints"]}
        tokens = {t["sha256"]: (int(t["endpoint"]), t["expires_at"]) for t in body["tokens"]}
    except (KeyError, TypeError, ValueError) as error:
        raise BadSnapshot(f"a part of it cannot be read ({type(error).__name__})") from None
    return Routes(found["epoch"], found["number"], addresses, versions, tokens)


def _address(a: Mapping[str, Any], versions: Mapping[int, Version]) -> Address:
    split = Split(
        endpoint=a["slug"],
        salt=bytes.fromhex(a["salt"]),
        baseline=a["baseline"],
        candidate=a["candidate"],
        share=a["share"],
        is_shadow=a["is_shadow"],
        is_on=a["is_on"],
    )
    for wanted in (split.baseline, split.candidate):
        if wanted is not None and wanted not in versions:
            raise ValueError("a version is missing")
    return Address(
        id=a["id"],
        team_id=a["team"],
        slug=a["slug"],
        split=split,
        system_policy=a["system_policy"],
        falls_back=a["falls_back"],
        text_retention=a["text_retention"],
        text_share=a["text_share"],
        text_days=a["text_days"],
        timeout_s=a["timeout_s"],
        max_in_flight=a["max_in_flight"],
        requests_per_minute=a["requests_per_minute"],
        has_budget=a["has_budget"],
        # Routes on the disk of an earlier release know no tasks.
        task=a.get("task", ""),
    )


def _version(v: Mapping[str, Any], open_key: KeyOpener) -> Version:
    headers: dict[str, str] = {}
    trouble = ""
    if v["provider"] != "local":
        try:
            headers = {
                "authorization": f"Bearer {open_key(v)}",
                "content-type": "application/json",
                # Bytes are passed through and read for their token counts: they must not come packed.
                "accept-encoding": "identity",
            }
        except Exception as error:
            trouble = str(error) or "The provider's key cannot be opened."
    return Version(
        id=v["id"],
        label=v["label"],
        provider=v["provider"],
        model=v["model"],
        system=v["system"],
        few_shot=tuple(v["few_shot"]),
        max_tokens=v["max_tokens"],
        output_config=v["output_config"],
        labels=tuple(v["labels"]),
        artefact=v["artefact"],
        url=v["base_url"].rstrip("/") + "/v1/messages" if v["base_url"] else "",
        headers=headers,
        price=_price(v["prices"]),
        vocabulary=Vocabulary.from_text(v["vocabulary"]) if v["vocabulary"] else None,
        tasks=tuple(v.get("tasks", ())),
        trouble=trouble,
    )


def _price(tiers: list[dict[str, Any]]) -> Price | None:
    if not tiers:
        return None
    return Price(
        tuple(
            Rates(**{**tier, "effective_from": date.fromisoformat(tier["effective_from"])}) for tier in tiers
        )
    )
