"""Preparing data over HTTP: datasets, imports, checks, fixes, versions, exports, through the pages' services.

The roof says who is asking: `request.team` and `request.role`. Long work answers with its job.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from django.http import StreamingHttpResponse
from django.shortcuts import get_object_or_404
from ninja import File, Form, Router, Schema
from ninja.files import UploadedFile
from pydantic import Field

from datasets.datasheets import datasheet_of
from datasets.domain.datasheet import markdown
from datasets.domain.rules import RULES
from datasets.domain.statuses import Split
from datasets.models import Dataset, DatasetVersion, Finding, Import
from datasets.services import checks, exports, fixing, imports, queueing, versiondiffs, versions
from decisions.models import UseCase
from foundation.files import store
from foundation.jobs.models import Job
from foundation.teams.errors import BadInput, Conflict, NotAllowed
from foundation.teams.requests import TeamRequest
from foundation.ui.downloads import Download

router = Router(tags=["Prepare"])
PAGE = 100
# No key is larger. Rows are looked up by their own key whatever the number, by another table's only up to this.
LARGEST_ID = 2**63 - 1


class DatasetIn(Schema):
    use_case: int
    name: str
    description: str = ""


class MappingIn(Schema):
    """Which column plays which part; what is left out keeps the guess."""

    mapping: dict[str, str] = {}
    encoding: str = ""


class StartIn(Schema):
    skip_bad_rows: bool = False
    again: bool = False


class FreezeIn(Schema):
    """How to split. Ratios are texts, so that no binary rounding moves a row."""

    seed: str = ""
    ratios: tuple[str, str, str] = ("0.8", "0.1", "0.1")
    strategy: str = "stratified"
    size_test_by_power: bool = True
    keep_groups: bool = True
    n_folds: int = 0
    fresh_test: bool = False
    drop_leaks: list[str] = []
    override_reason: str = ""
    notes: str = ""


@router.get("/datasets", summary="The team's datasets, newest first")
def list_datasets(
    request: TeamRequest,
    use_case: Annotated[int, Field(le=LARGEST_ID)] | None = None,
    after: int | None = None,
) -> dict[str, Any]:
    """Up to 100 datasets; `next` is the `after` of the following page, null at the end."""
    rows = Dataset.objects.of(request.team).filter(archived_at=None)
    if use_case is not None:
        rows = rows.filter(use_case_id=use_case)
    if after is not None:
        rows = rows.filter(pk__lt=after)
    found = list(rows.order_by("-pk")[: PAGE + 1])
    return {
        "items": [_dataset(row) for row in found[:PAGE]],
        "next": found[PAGE - 1].pk if len(found) > PAGE else None,
    }


@router.post("/datasets", response={201: dict}, summary="Begin a dataset")
def create_dataset(request: TeamRequest, body: DatasetIn) -> tuple[int, dict[str, Any]]:
    """The new, empty dataset."""
    use_case = get_object_or_404(UseCase.objects.of(request.team), pk=body.use_case)
    row = imports.create_dataset(
        actor=request.user, team=request.team, use_case=use_case, name=body.name, description=body.description
    )
    return 201, _dataset(row)


@router.get("/datasets/{int:pk}", summary="One dataset with what the checks found")
def get_dataset(request: TeamRequest, pk: int) -> dict[str, Any]:
    """Counts, open findings and versions."""
    row = get_object_or_404(Dataset.objects.of(request.team), pk=pk)
    found = checks.open_findings(row) if row.checks_id else []
    return {
        **_dataset(row),
        "findings": [_finding(f) for f in found],
        "versions": [_version(v) for v in row.versions.all()[:PAGE]],
    }


@router.post("/datasets/{int:pk}/imports", response={201: dict}, summary="Stage a file")
def stage_import(
    request: TeamRequest, pk: int, file: File[UploadedFile], name: Form[str] = ""
) -> tuple[int, dict[str, Any]]:
    """The draft with recognised format, columns and mapping, and a preview; nothing is shown on pages yet."""
    dataset = get_object_or_404(Dataset.objects.of(request.team), pk=pk)
    blob = store.put(
        team=request.team,
        stream=file.file,
        name=name or file.name or "upload",
        kind="upload",
        actor=request.user,
    )
    row = imports.stage_upload(actor=request.user, dataset=dataset, blob=blob, name=name)
    return 201, _import(row)


@router.get("/imports/{int:pk}", summary="One import")
def get_import(request: TeamRequest, pk: int) -> dict[str, Any]:
    """State, counts, and the first bad rows by line and reason."""
    row = get_object_or_404(Import.objects.of(request.team), pk=pk)
    bad = row.bad_rows.order_by("line").values("line", "column", "reason", "fix")[:PAGE]
    return {**_import(row), "bad_rows": list(bad)}


@router.patch("/imports/{int:pk}", summary="Correct the mapping")
def map_import(request: TeamRequest, pk: int, body: MappingIn) -> dict[str, Any]:
    """The draft with the given columns."""
    row = get_object_or_404(Import.objects.of(request.team), pk=pk)
    mapping = {**row.mapping, **body.mapping}
    return _import(
        imports.set_mapping(actor=request.user, import_=row, mapping=mapping, encoding=body.encoding)
    )


@router.post("/imports/{int:pk}/start", response={202: dict}, summary="Read the file")
def start_import(request: TeamRequest, pk: int, body: StartIn) -> tuple[int, dict[str, Any]]:
    """The job that reads it; asked twice it is one job."""
    row = get_object_or_404(Import.objects.of(request.team), pk=pk)
    job = imports.start_import(
        actor=request.user, import_=row, skip_bad_rows=body.skip_bad_rows, again=body.again
    )
    return 202, _job(job)


@router.post("/datasets/{int:pk}/checks", response={202: dict}, summary="Check all rows")
def start_checks(request: TeamRequest, pk: int) -> tuple[int, dict[str, Any]]:
    """The job that checks them."""
    row = get_object_or_404(Dataset.objects.of(request.team), pk=pk)
    return 202, _job(checks.start_checks(actor=request.user, dataset=row))


@router.post("/findings/{int:pk}/fix", response={200: dict, 202: dict}, summary="Press a fix")
def fix(request: TeamRequest, pk: int, action: str = "") -> tuple[int, dict[str, Any]]:
    """What the fix did, or the job that does it to many rows; without `action` the rule's first, safest one."""
    row = get_object_or_404(Finding.objects.of(request.team), pk=pk)
    done = fixing.press_fix(actor=request.user, finding=row, action=action)
    if isinstance(done, Job):
        return 202, _job(done)
    return 200, {"id": done.pk, "rule": done.rule, "action": done.action}


@router.post(
    "/datasets/{int:pk}/reviews", response={201: dict, 202: dict}, summary="Begin the review of a sample"
)
def plan_review(request: TeamRequest, pk: int) -> tuple[int, dict[str, Any]]:
    """The queue, or over many rows the job that makes it; people judge its rows in the portal."""
    row = get_object_or_404(Dataset.objects.of(request.team), pk=pk)
    review = queueing.press_review(actor=request.user, dataset=row)
    if isinstance(review, Job):
        return 202, _job(review)
    return 201, {"id": review.pk, "total": review.n_total, "done": review.n_done}


@router.post("/datasets/{int:pk}/versions", response={202: dict}, summary="Freeze a version")
def freeze(request: TeamRequest, pk: int, body: FreezeIn) -> tuple[int, dict[str, Any]]:
    """The version being built; 400 names the gates that stand while no reason is given."""
    row = get_object_or_404(Dataset.objects.of(request.team), pk=pk)
    version = versions.start_freeze(actor=request.user, dataset=row, **body.dict())
    return 202, _version(version)


@router.get("/versions/{int:pk}", summary="One version with its report")
def get_version(request: TeamRequest, pk: int) -> dict[str, Any]:
    """Checksum, recipe, split sizes, statistics, leakage and power."""
    row = get_object_or_404(DatasetVersion.objects.of(request.team), pk=pk)
    return {**_version(row), "recipe": row.recipe, "report": row.report, "stats": row.stats}


@router.get("/versions/{int:pk}/export/{split}.jsonl", summary="A split as JSONL", response=None)
def export(request: TeamRequest, pk: int, split: str, format: str = "chat") -> StreamingHttpResponse:
    """The lines of one split: `format` is chat, pairs, openai, bedrock, converse, together, trl or csv. Test rows stay sealed: take them from the version's page."""
    row = get_object_or_404(DatasetVersion.objects.of(request.team), pk=pk)
    if split not in list(Split):
        raise BadInput("A split is train, validation or test.", field="split")
    if split == Split.TEST:
        raise NotAllowed("Test rows are sealed. Open them with a reason on the version's page.")
    lines = exports.export_lines(version=row, split=split, format=format)
    exports.record_export(actor=request.user, version=row, split=split, format=format)
    answer = Download(exports.in_pieces(lines), content_type="application/jsonl")
    answer["Content-Disposition"] = f'attachment; filename="version-{row.number}-{split}.jsonl"'
    return answer


@router.get("/versions/{int:pk}/datasheet", summary="The datasheet of a version")
def get_datasheet(request: TeamRequest, pk: int) -> dict[str, Any]:
    """Facts and sections as plain values, and the whole as Markdown."""
    row = get_object_or_404(_versions(request).frozen(), pk=pk)
    sheet = datasheet_of(row)
    return {**asdict(sheet), "markdown": markdown(sheet)}


@router.get("/versions/{int:pk}/diff/{int:other}", summary="What changed between two versions")
def get_diff(request: TeamRequest, pk: int, other: int) -> dict[str, Any]:
    """Counts from version `other` (its id) to this one; 409 while large versions were not compared yet."""
    before, after = (
        get_object_or_404(_versions(request), pk=other),
        get_object_or_404(_versions(request), pk=pk),
    )
    found = versiondiffs.difference(before, after)
    if found is None:
        raise Conflict("These versions are large. Start their comparison with POST first.")
    return {"before": before.number, "after": after.number, **found["counts"]}


@router.post(
    "/versions/{int:pk}/diff/{int:other}", response={202: dict}, summary="Compare two large versions"
)
def start_diff(request: TeamRequest, pk: int, other: int) -> tuple[int, dict[str, Any]]:
    """The job that compares them."""
    before, after = (
        get_object_or_404(_versions(request), pk=other),
        get_object_or_404(_versions(request), pk=pk),
    )
    row = versiondiffs.start_diff(actor=request.user, before=before, after=after)
    return 202, {"job": row.job_id}


def _versions(request: TeamRequest) -> Any:
    return DatasetVersion.objects.of(request.team).select_related("dataset__team", "dataset__use_case")


def _dataset(row: Dataset) -> dict[str, Any]:
    return {
        "id": row.pk,
        "name": row.name,
        "use_case": row.use_case_id,
        "active": row.n_active,
        "dropped": row.n_dropped,
        "rejected": row.n_rejected,
        "labels": row.label_counts,
        "checks_are_current": row.checks_are_current,
    }


def _finding(row: Finding) -> dict[str, Any]:
    return {
        "id": row.pk,
        "rule": row.rule,
        "severity": row.severity,
        "headline": row.headline,
        "rows": row.n_rows,
        "fixable": row.n_fixable,
        "actions": [a.key for a in RULES[row.rule].actions],
    }


def _import(row: Import) -> dict[str, Any]:
    return {
        "id": row.pk,
        "name": row.name,
        "state": row.state,
        "layout": row.layout,
        "mapping": row.mapping,
        "good": row.n_good,
        "bad": row.n_bad,
        "blank": row.n_blank,
        "left_out": row.left_out,
        "repeats": row.repeats_id,
        "error": row.error,
        "job": row.job_id,
    }


def _version(row: DatasetVersion) -> dict[str, Any]:
    return {
        "id": row.pk,
        "number": row.number,
        "state": row.state,
        "checksum": row.checksum,
        "rows": row.n_rows,
        "train": row.n_train,
        "validation": row.n_validation,
        "test": row.n_test,
        "job": row.job_id,
        "error": row.error,
    }


def _job(row: Job) -> dict[str, Any]:
    return {"job": row.pk, "state": row.state}
