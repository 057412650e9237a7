"""Reading frozen versions, for training and evaluation. Streams; knows no page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.db.models import Max

from datasets import bulk
from datasets.domain.statuses import Split, VersionState
from datasets.models import DatasetVersion, VersionRow, messages_of
from decisions.models import UseCase

PAGE_ROWS = 2000


@dataclass(frozen=True, slots=True)
class Row:
    """One frozen row. `digest` is 64 hexadecimal characters; `messages` are chat messages with the answer last."""

    content_id: int
    digest: str
    position: int
    split: str
    system: str
    turns: str
    prompt: str
    completion: str
    label: str
    extra: str = ""
    example_id: int | None = None

    @property
    def messages(self) -> list[dict[str, str]]:
        """The whole row as chat messages; the expected answer is the last one."""
        return messages_of(self.system, self.turns, self.prompt, self.completion)


def latest_frozen(use_cases: list[UseCase]) -> dict[int, int]:
    """The newest frozen version's id by use case. Asked once a list of use cases, whoever asks again."""
    asked = [u for u in use_cases if not hasattr(u, "_latest_frozen")]
    if asked:
        found = dict(
            DatasetVersion.objects.filter(
                dataset__use_case__in=[u.pk for u in asked], state=VersionState.FROZEN
            )
            .values("dataset__use_case")
            .annotate(last=Max("pk"))
            .values_list("dataset__use_case", "last")
        )
        for use_case in asked:
            remember_frozen(use_case, found.get(use_case.pk))
    return {u.pk: u._latest_frozen for u in use_cases if u._latest_frozen}  # type: ignore[attr-defined]


def remember_frozen(use_case: UseCase, version_id: int | None) -> None:
    """Keep the newest frozen version's id on the row while a page is drawn: several stages ask for it."""
    use_case._latest_frozen = version_id  # type: ignore[attr-defined]


def version_rows(version: DatasetVersion, split: Split | str, *, after: int = -1) -> Iterator[Row]:
    """Rows of one split in their frozen order, streamed; `after` skips positions up to and including it.

    Read page by page: a cursor held open by a slow reader would keep SQLite's log from ever being folded in.
    """
    wanted = VersionRow.objects.filter(version=version, split=str(split)).order_by("position")
    while True:
        page = list(
            wanted.filter(position__gt=after).values_list(
                "content_id",
                "content__digest",
                "position",
                "split",
                "content__system",
                "content__turns",
                "content__prompt",
                "content__completion",
                "label",
                "content__extra",
                "example_id",
            )[:PAGE_ROWS]
        )
        for content_id, digest, *rest in page:
            yield Row(content_id, bytes(digest).hex(), *rest)  # type: ignore[arg-type]
        if len(page) < PAGE_ROWS:
            return
        after = page[-1][2]


def version_texts(version: DatasetVersion, split: Split | str) -> Iterator[list[tuple[Any, ...]]]:
    """The texts of one split in their frozen order, a page at a time, for whoever writes them out and no more.

    A row is (position, example id, system, turns, prompt, completion, extra).
    """
    rows = VersionRow.objects.filter(version=version, split=str(split)).order_by("position")
    texts = rows.values_list(
        "position", "example_id", "content__system", "content__turns", "content__prompt", "content__completion",
        "content__extra",
    )  # fmt: skip
    after = -1
    while page := bulk.plain_rows(texts.filter(position__gt=after)[:PAGE_ROWS]):
        yield page
        after = page[-1][0]


def split_sizes(version: DatasetVersion) -> dict[str, int]:
    """Rows in each split."""
    return {"train": version.n_train, "validation": version.n_validation, "test": version.n_test}
