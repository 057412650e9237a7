"""Who gets which version: a keyed hash of a person's key, compared with a share. Knows no clock, table or network."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

# Shares are counted in buckets: one is a hundredth of a per cent.
BUCKETS = 10_000
LONGEST_KEY = 512


class Arm(StrEnum):
    """The side of a split an answer counts for. Shadow answers are never shown to anybody."""

    BASELINE = "baseline"
    CANDIDATE = "candidate"
    SHADOW = "shadow"


@dataclass(frozen=True, slots=True)
class Split:
    """How the traffic of one endpoint is divided. `share` is the candidate's part in buckets, 0 to 10,000."""

    endpoint: str
    salt: bytes
    baseline: int
    candidate: int | None = None
    share: int = 0
    is_shadow: bool = False
    # The kill switch: off means that nobody is answered.
    is_on: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.share <= BUCKETS:
            raise ValueError(f"share must lie between 0 and {BUCKETS} buckets, it is {self.share}")


@dataclass(frozen=True, slots=True)
class Assignment:
    """What one request gets: a version to answer it, and perhaps another one to copy it to."""

    version: int
    arm: Arm
    bucket: int
    # First 64 bits of the keyed hash as hex, "" when the request named nobody.
    sticky_hash: str
    shadow: int | None = None

    @property
    def is_sticky(self) -> bool:
        """Whether the same key will meet the same version again."""
        return self.sticky_hash != ""


def share_in_buckets(share: float) -> int:
    """A share from 0 to 1 as buckets. Raises ValueError outside: a share of 1.5 is refused, never cut."""
    if not 0 <= share <= 1:  # also refuses NaN
        raise ValueError(f"a traffic share lies between 0 and 1, it is {share}")
    return round(share * BUCKETS)


def sticky_key(header: str, body: Mapping[str, Any]) -> str:
    """The key a request is routed by: `X-Sticky-Key`, else `metadata.user_id`, else `user`, else ""."""
    if header:
        return header[:LONGEST_KEY]
    metadata = body.get("metadata")
    named = metadata.get("user_id") if isinstance(metadata, Mapping) else None
    for found in (named, body.get("user")):
        if isinstance(found, str) and found:
            return found[:LONGEST_KEY]
    return ""


def keyed_hash(salt: bytes, endpoint: str, key: str) -> int:
    """64 bits of HMAC-SHA256(salt, endpoint, key): the same on every machine and after every restart."""
    message = f"{endpoint}\0{key}".encode("utf-8", "surrogatepass")
    return int.from_bytes(hmac.digest(salt, message, "sha256")[:8], "big")


def assign(split: Split, key: str, *, chance: int) -> Assignment | None:
    """The version for one request; None when the endpoint is switched off.

    `chance` (any number drawn by the caller) stands in for a key that is missing. The candidate has the lowest
    buckets, so a growing share only ever adds people to it and moves nobody back.
    """
    if not split.is_on:
        return None
    hashed = keyed_hash(split.salt, split.endpoint, key) if key else chance
    bucket = hashed % BUCKETS
    sticky_hash = f"{hashed:016x}" if key else ""
    if split.candidate is None or bucket >= split.share:
        return Assignment(split.baseline, Arm.BASELINE, bucket, sticky_hash)
    if split.is_shadow:
        return Assignment(split.baseline, Arm.BASELINE, bucket, sticky_hash, shadow=split.candidate)
    return Assignment(split.candidate, Arm.CANDIDATE, bucket, sticky_hash)
