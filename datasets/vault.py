"""Which rows are sealed: the test of the newest frozen version, closed to people until opened with a reason."""

from __future__ import annotations

from collections.abc import Iterable

from django.db.models import Exists, OuterRef

from datasets.domain.statuses import SYNTHETIC, LookKind, Split
from datasets.domain.vault import Wear, wear
from datasets.models import Content, Dataset, DatasetVersion, Example, Look, VersionRow
from datasets.models.versions import VersionQuerySet
from foundation.teams.models import User


def versions_with_looks(dataset: Dataset, user: User | None = None) -> VersionQuerySet:
    """Frozen versions, the newest first; `is_open` says whether `user` opened the test rows of each."""
    # Nobody has the number 0; a look whose person was removed opens nothing.
    opened = Look.objects.filter(version=OuterRef("pk"), by_id=user.pk if user else 0, kind=LookKind.ROWS)
    frozen = DatasetVersion.objects.frozen().filter(dataset=dataset).annotate(is_open=Exists(opened))
    return frozen.order_by("-number").only("id", "number")


def sealed_contents(
    dataset: Dataset, content_ids: Iterable[int] | None = None, *, user: User | None = None
) -> frozenset[int]:
    """Which of these contents (all, without them) are closed test rows. For a person who opened them: none."""
    version = versions_with_looks(dataset, user).first()
    if version is None or version.is_open:  # type: ignore[attr-defined]
        return frozenset()
    test = VersionRow.objects.filter(version=version, split=Split.TEST)
    if content_ids is None:
        digests = {
            bytes(d) for d in test.values_list("content__digest", flat=True).iterator(chunk_size=10_000)
        }
        rows = Example.objects.filter(dataset=dataset).values_list("content_id", "content__digest")
        return frozenset(pk for pk, digest in rows.iterator(chunk_size=10_000) if bytes(digest) in digests)
    wanted = set(content_ids)
    held = dict(
        VersionRow.objects.filter(version=version, content_id__in=wanted).values_list("content_id", "split")
    )
    sealed = {pk for pk, split in held.items() if split == Split.TEST}
    if others := wanted - held.keys():
        # The same text under another number: an exact duplicate that was left out, or a row imported again since.
        twins = Content.objects.filter(pk__in=others, digest__in=test.values("content__digest"))
        sealed.update(twins.values_list("pk", flat=True))
    return frozenset(sealed)


def wear_of(version: DatasetVersion) -> Wear:
    """How worn the test of a version is."""
    return wear(version.n_test, Look.objects.filter(version=version).count())


def n_fresh_rows(dataset: Dataset) -> int:
    """Active rows whose file came in after the newest frozen version: what a fresh test can be drawn from, at most."""
    newest = DatasetVersion.objects.frozen().filter(dataset=dataset).order_by("-number").first()
    if newest is None:
        return dataset.n_active
    rows = Example.objects.filter(dataset=dataset, source__finished_at__gt=newest.created_at)
    return rows.exclude(source__source=SYNTHETIC).active().count()
