"""Team slugs: the part of an address that names a team."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

MAX_LENGTH = 60
_OTHER = re.compile(r"[^a-z0-9]+")


def slug_from(name: str) -> str:
    """A slug of `name` in a-z, 0-9 and hyphens, at most 50 characters; "team" when nothing is left."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return _OTHER.sub("-", plain).strip("-")[:50].strip("-") or "team"


def free_slug(name: str, is_taken: Callable[[str], bool]) -> str:
    """The slug of `name`, with -2, -3, … behind it while it is taken."""
    base = slug = slug_from(name)
    number = 1
    while is_taken(slug):
        number += 1
        slug = f"{base}-{number}"
    return slug
