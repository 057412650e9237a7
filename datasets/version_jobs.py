"""Long work on versions as kinds of jobs: freezing, comparing, mixing. They read and hand over; services write."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from datasets.models import DatasetVersion
from datasets.services import exports, mixing, queueing, versiondiffs, versions
from foundation.jobs.kinds import Kind, Outcome, Work
from foundation.jobs.models import Job


class _Cancelled(Exception):
    """Somebody asked to stop in the middle of building a version."""


def _heeding(work: Work) -> Callable[[str], None]:
    """Shows each step, and leaves the building where somebody asked to stop: a million rows take minutes."""

    def progress(step: str) -> None:
        work.progress(0, 1, step)
        if work.cancelled:
            raise _Cancelled

    return progress


class FreezeVersion(Kind):
    """Builds a version row by row and flips it to frozen when it is whole."""

    name = "datasets.freeze"
    title = "Freeze"
    cancelling = "No version is made; the rows stay as they are."
    parallel = 1

    def run(self, job: Job, items: Sequence[Any], work: Work) -> Iterator[Outcome]:
        """One item: compose, write, flip. Read again from the start after a kill; rows of the first try are removed."""
        version = DatasetVersion.objects.select_related("dataset__team").get(pk=job.recipe["version"])
        for item in items:
            try:
                frozen = versions.build_version(
                    version=version, progress=_heeding(work), still_mine=work.still_mine
                )
            except _Cancelled:
                return
            if work.cancelled:
                return
            if frozen is not None:
                work.still_mine()
                versions.flip_version(version=version, frozen=frozen)
            yield Outcome(item, result={"checksum": version.checksum})

    def finish(self, job: Job) -> dict[str, Any]:
        """Number, checksum and sizes."""
        version = DatasetVersion.objects.select_related("dataset", "team").get(pk=job.recipe["version"])
        if version.is_frozen:
            queueing.take_sealed_out(actor=version.created_by, dataset=version.dataset)
            exports.start_export_check(actor=version.created_by, version=version)
        return {
            "version": version.number,
            "checksum": version.checksum,
            "train": version.n_train,
            "validation": version.n_validation,
            "test": version.n_test,
        }

    def abandoned(self, job: Job) -> None:
        """Say why on the version and remove its rows."""
        version = DatasetVersion.objects.select_related("dataset__team").get(pk=job.recipe["version"])
        versions.fail_version(version=version, error=job.error or "Cancelled.")


class CompareVersions(Kind):
    """Works out what changed between two large versions, and keeps it."""

    name = "datasets.diff"
    title = "Compare versions"
    cancelling = "Nothing of it is kept. Both versions stay as they are."
    parallel = 1
    quiet = True

    def run(self, job: Job, items: Sequence[Any], work: Work) -> Iterator[Outcome]:
        """One item: read both, compare, keep."""
        for item in items:
            row = versiondiffs.keep_diff(diff_id=job.recipe["diff"])
            yield Outcome(item, result=row.result["counts"])


class MixVersions(FreezeVersion):
    """Mixes several frozen versions into one, row by row, and flips it when it is whole."""

    name = "datasets.mix"
    title = "Mix"
    cancelling = "No version is made; the versions to mix stay as they are."

    def run(self, job: Job, items: Sequence[Any], work: Work) -> Iterator[Outcome]:
        """One item: read the members, write, flip. Read again from the start after a kill."""
        version = DatasetVersion.objects.select_related("dataset__team", "team").get(pk=job.recipe["version"])
        for item in items:
            try:
                frozen = mixing.build_mix(
                    version=version, progress=_heeding(work), still_mine=work.still_mine
                )
            except _Cancelled:
                return
            if work.cancelled:
                return
            if frozen is not None:
                work.still_mine()
                versions.flip_version(version=version, frozen=frozen)
            yield Outcome(item, result={"checksum": version.checksum})
