"""Active rows of a dataset and their texts, read in blocks; keys of what is asked and answered. Writes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from django.db.models import F, QuerySet
from django.db.models.expressions import Combinable
from django.db.models.functions import Length

from datasets import bulk
from datasets.domain.hashing import joined_keys, loose_keys
from datasets.models import Content, Dataset, Example

# Rows read at once, and the stretch one worker looks at: under a second of work, so cancel and progress are quick.
BLOCK = 4000
# Characters read at once: rows may be megabytes long, and turning texts into numbers takes some ten bytes a character.
MOST_CHARS = 16_000_000


class Loaded(NamedTuple):
    """One active row with its text."""

    id: int
    label: str
    group: str
    at: Any
    review: str
    content_id: int
    digest: bytes
    system: str
    turns: str
    prompt: str
    completion: str
    # JSON of what stands beside the texts: tools, their calls (domain/conversations.py).
    extra: str = ""


def n_chars_of(path: str = "") -> Combinable:
    """How long a content's texts are, in SQL; `path` leads to it, such as "content__"."""
    return F(f"{path}n_chars") + Length(f"{path}system") + Length(f"{path}turns") + Length(f"{path}extra")


def cuts(n_chars: Sequence[int], most_rows: int = BLOCK) -> Iterator[tuple[int, int]]:
    """Neighbouring rows to read at once, (start, end): at most `most_rows` and MOST_CHARS, but one row at least."""
    start = held = 0
    for i, n in enumerate(n_chars):
        if i > start and (held + n > MOST_CHARS or i - start >= most_rows):
            yield start, i
            start, held = i, 0
        held += n
    if start < len(n_chars):
        yield start, len(n_chars)


def active_rows(dataset: Dataset, *, after: int = 0, upto: int | None = None) -> Iterator[list[Loaded]]:
    """Active rows in blocks, oldest first, with ids above `after`. No cursor stays open between blocks.

    Up to `upto` it is one block: a stretch of `services.checks.check_stretches`.
    """
    last = after
    rows = Example.objects.active_of(dataset).order_by("id")
    if upto is not None:
        rows = rows.filter(id__lte=upto)
    columns = rows.values_list(
        "id", "label", "group", "at", "review", "content_id", "content__digest", "content__system", "content__turns",
        "content__prompt", "content__completion", "content__extra",
    )  # fmt: skip
    if upto is not None:
        # A stretch was measured when it was planned, and is held as a whole.
        yield _loaded(columns.filter(id__gt=after))
        return
    sizes = rows.values_list("id", n_chars_of("content__"))
    while found := bulk.plain_rows(sizes.filter(id__gt=last)[:BLOCK]):
        for _, end in cuts([n for _, n in found]):
            here = columns.filter(id__gt=last, id__lte=found[end - 1][0])
            last = found[end - 1][0]
            if block := _loaded(here):
                yield block


def _loaded(rows: QuerySet[Any, Any]) -> list[Loaded]:
    return [Loaded(*row[:6], bytes(row[6]), *row[7:]) for row in rows]  # type: ignore[call-arg]


def near_text(task_kind: str, prompt: str, completion: str) -> str:
    """What likeness is measured on: the question of a classification (its answer is a label), else the whole row."""
    return prompt if task_kind == "classify" else f"{prompt} {completion}"


def texts_of(content_ids: list[int], task_kind: str) -> list[str]:
    """The texts of some contents, in the order asked for."""
    found: dict[int, str] = {}
    for start in range(0, len(content_ids), 5000):
        part = content_ids[start : start + 5000]
        for key, prompt, completion in Content.objects.filter(pk__in=part).values_list(
            "id", "prompt", "completion"
        ):
            found[key] = near_text(task_kind, prompt, completion)
    return [found.get(key, "") for key in content_ids]


class Texts(NamedTuple):
    """The texts of one content."""

    content_id: int
    system: str
    turns: str
    prompt: str
    completion: str
    digest: bytes


def contents_of(content_ids: list[int]) -> Iterator[list[Texts]]:
    """The texts of some contents, oldest first, as many at once as may be held. Their ids are given in that order."""
    for start in range(0, len(content_ids), BLOCK):
        rows = Content.objects.filter(pk__in=content_ids[start : start + BLOCK])
        found = bulk.plain_rows(rows.order_by("id").values_list("id", n_chars_of()))
        columns = Content.objects.values_list("id", "system", "turns", "prompt", "completion", "digest")
        for first, end in cuts([n for _, n in found]):
            part = columns.filter(pk__in=[key for key, _ in found[first:end]])
            yield [Texts(*row[:5], bytes(row[5])) for row in part]


def row_keys(block: Sequence[Loaded] | Sequence[Texts]) -> tuple[np.ndarray, np.ndarray]:
    """Keys of what is asked and of what is answered, equal where rows differ in formatting only. 64 bits each."""
    asked = loose_keys([row.prompt for row in block])
    return with_what_came_before(block, asked), loose_keys([row.completion for row in block])


def whole_keys(block: Sequence[Loaded] | Sequence[Texts]) -> np.ndarray:
    """Keys of whole rows, equal where they differ in formatting only: what the check calls copies but for formatting."""
    return joined_keys(*row_keys(block))


def with_what_came_before(block: Sequence[Loaded] | Sequence[Texts], asked: np.ndarray) -> np.ndarray:
    """Keys of questions, joined with those of the system prompts and turns before them."""
    if any(row.system or row.turns for row in block):
        before = loose_keys([f"{row.system}\n{row.turns}" for row in block])
    else:
        before = np.repeat(loose_keys([""]), len(block))
    return joined_keys(before, asked)
