"""Which rows are sealed: the test of the newest frozen version, closed to people until opened with a reason."""

from __future__ import annotations

from collections.abc import Iterable

from django.db.models import Exists, OuterRef, QuerySet

from datasets.domain.statuses import SYNTHETIC, LookKind, Split
from datasets.domain.vault import Wear, wear
from datasets.errors import Sealed
from datasets.models import Content, Dataset, DatasetVersion, Edit, Example, Look, VersionRow
from datasets.models.versions import VersionQuerySet
from foundation.teams.models import User


def versions_with_looks(dataset: Dataset, user: User | None = None) -> VersionQuerySet:
    """Frozen versions, the newest first; `is_open` says whether `user` opened the test rows of each."""
    # Nobody has the number 0; a look whose person was removed opens nothing.
    opened = Look.objects.filter(version=OuterRef("pk"), by_id=user.pk if user else 0, kind=LookKind.ROWS)
    frozen = DatasetVersion.objects.frozen().filter(dataset=dataset).annotate(is_open=Exists(opened))
    return frozen.order_by("-number").only("id", "number")


class Vault:
    """The closed test rows of a dataset, asked about many times: the version and its looks are looked up once."""

    def __init__(self, dataset: Dataset, user: User | None = None) -> None:
        version = versions_with_looks(dataset, user).first()
        self.dataset = dataset
        is_open = version is None or version.is_open  # type: ignore[attr-defined]
        self.version: DatasetVersion | None = None if is_open else version

    def closed(self, content_ids: Iterable[int]) -> frozenset[int]:
        """Which of these contents are closed to this person.

        A test row stays closed under every text it has or had: an edit after the freeze shows nearly the same words,
        and the texts before an edit are what the test asks.
        """
        wanted = set(content_ids)
        if self.version is None or not wanted:
            return frozenset()
        held = dict(
            VersionRow.objects.filter(version=self.version, content_id__in=wanted).values_list(
                "content_id", "split"
            )
        )
        sealed = {pk for pk, split in held.items() if split == Split.TEST}
        if others := wanted - held.keys():
            tested, digests = self._test.values("example_id"), self._test.values("content__digest")
            edits = Edit.objects.order_by()
            # The same text under another number: an exact duplicate that was left out, or a row imported again since.
            twins = Content.objects.filter(pk__in=others, digest__in=digests).values_list("pk")
            sealed.update(
                pk
                for (pk,) in twins.union(
                    Example.objects.filter(dataset=self.dataset, content_id__in=others, pk__in=tested)
                    .order_by()
                    .values_list("content_id"),
                    edits.filter(before_id__in=others, example_id__in=tested).values_list("before_id"),
                    edits.filter(after_id__in=others, example_id__in=tested).values_list("after_id"),
                    # A twin that was edited since.
                    edits.filter(example__content_id__in=others, before__digest__in=digests).values_list(
                        "example__content_id"
                    ),
                )
            )
        return frozenset(sealed)

    def all_closed(self) -> frozenset[int]:
        """Every closed content that a row of the dataset has now."""
        if self.version is None:
            return frozenset()
        digests = {
            bytes(d) for d in self._test.values_list("content__digest", flat=True).iterator(chunk_size=10_000)
        }
        tested = set(self._test.values_list("example_id", flat=True).iterator(chunk_size=10_000))
        rows = Example.objects.filter(dataset=self.dataset).values_list("pk", "content_id", "content__digest")
        sealed = {
            content
            for pk, content, digest in rows.iterator(chunk_size=10_000)
            if pk in tested or bytes(digest) in digests
        }
        held = VersionRow.objects.filter(version=self.version, content=OuterRef("example__content"))
        twins = Edit.objects.filter(
            ~Exists(held),
            example__dataset=self.dataset,
            before__digest__in=self._test.values("content__digest"),
        )
        sealed.update(twins.values_list("example__content_id", flat=True))
        return frozenset(sealed)

    @property
    def _test(self) -> QuerySet[VersionRow]:
        return VersionRow.objects.filter(version=self.version, split=Split.TEST)


def sealed_contents(
    dataset: Dataset, content_ids: Iterable[int] | None = None, *, user: User | None = None
) -> frozenset[int]:
    """Which of these contents (all, without them) are closed test rows. For a person who opened them: none."""
    vault = Vault(dataset, user)
    return vault.all_closed() if content_ids is None else vault.closed(content_ids)


def check_not_sealed(dataset: Dataset, content_ids: Iterable[int], *, user: User | None) -> None:
    """Raises Sealed when a person would change rows that are closed to them. The portal's own work may go on."""
    if user is not None and sealed_contents(dataset, content_ids, user=user):
        raise Sealed


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
