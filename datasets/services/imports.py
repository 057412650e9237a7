"""Bringing files in: a dataset, a staged file with its guess, a mapping, an import, its end."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Count, Exists, F, Max, OuterRef, Value
from django.db.models.functions import Coalesce, Greatest, Least
from django.urls import reverse
from django.utils import timezone

from datasets import bulk, importing, searching
from datasets.domain.cleaning import digest
from datasets.domain.labels import merge_counts
from datasets.domain.layouts import Layout
from datasets.domain.limits import MAX_COLUMNS
from datasets.domain.mapping import ColumnMapping, guess_mapping, shape_of
from datasets.domain.parsing import Bad
from datasets.domain.records import Parts
from datasets.domain.statuses import ExampleState, ImportState
from datasets.errors import NothingToDo
from datasets.models import BadRow, Content, Dataset, Example, Import
from datasets.policies import check_can_change, check_can_start
from decisions.models import UseCase
from decisions.services import record_evidence
from foundation.files.models import Blob
from foundation.jobs.domain.states import JobState
from foundation.jobs.models import Job, Shard
from foundation.jobs.services import start_job
from foundation.teams import audit
from foundation.teams.errors import BadInput
from foundation.teams.models import Team, User

SHOWN_ERRORS = 100
# About 10 ms of lock for texts of a hundred words.
INDEXED_A_TRANSACTION = 150
# Each slice makes a segment of some dozen pages, and each page is merged about three times until it rests.
MERGES_A_TRANSACTION = 8
INDEX_KIND = "datasets.index"
# An import whose indexing fails is not tried every few minutes for ever.
PAUSE_AFTER_A_FAILURE = timedelta(hours=1)
WRITE_ATTEMPTS = 3
BAD_ROWS_A_TRANSACTION = 500


def create_dataset(
    *,
    actor: User | None,
    team: Team,
    use_case: UseCase,
    name: str,
    description: str = "",
    licence: str = "",
) -> Dataset:
    """The saved, empty dataset. Raises BadInput for a blank or taken name, or a use case of another team."""
    name = " ".join(name.split())
    if not name:
        raise BadInput("Give the dataset a name.", field="name")
    if len(name) > 200:
        raise BadInput("The name has more than 200 characters.", field="name")
    if use_case.team_id != team.pk:
        raise BadInput("This use case belongs to another team.", field="use_case")
    try:
        with transaction.atomic():
            dataset = Dataset.objects.create(
                team=team,
                use_case=use_case,
                name=name,
                description=description.strip(),
                licence=licence.strip()[:200],
                created_by=actor,
            )
            audit.record(actor=actor, team=team, verb="dataset.created", target=dataset, fields=["name"])
    except IntegrityError:
        raise BadInput("This use case already has a dataset of that name.", field="name") from None
    return dataset


def rename_dataset(
    *, actor: User | None, dataset: Dataset, name: str, description: str, licence: str | None = None
) -> Dataset:
    """The dataset under its new name, description and licence (None: as it was)."""
    name = " ".join(name.split())
    if not name or len(name) > 200:
        raise BadInput("Give the dataset a name of at most 200 characters.", field="name")
    try:
        with transaction.atomic():
            Dataset.objects.filter(pk=dataset.pk).update(
                name=name,
                description=description.strip(),
                licence=dataset.licence if licence is None else licence.strip()[:200],
            )
            audit.record(
                actor=actor,
                team=dataset.team,
                verb="dataset.renamed",
                target=dataset,
                fields=["name", "description", "licence"],
            )
    except IntegrityError:
        raise BadInput("This use case already has a dataset of that name.", field="name") from None
    dataset.refresh_from_db()
    return dataset


def archive_dataset(*, actor: User | None, dataset: Dataset, archived: bool = True) -> Dataset:
    """The dataset, put away or brought back. Frozen versions stay usable."""
    with transaction.atomic():
        Dataset.objects.filter(pk=dataset.pk).update(archived_at=timezone.now() if archived else None)
        verb = "dataset.archived" if archived else "dataset.restored"
        audit.record(actor=actor, team=dataset.team, verb=verb, target=dataset)
    dataset.refresh_from_db()
    return dataset


def stage_upload(
    *, actor: User | None, dataset: Dataset, blob: Blob, name: str = "", source: str = "upload"
) -> Import:
    """A draft import with format, columns and mapping guessed; nothing is shown yet.

    The same bytes imported before are recognised: `repeats` points at that import.
    Raises: UnusableFile when the file cannot be read at all.
    """
    check_can_change(dataset)
    layout = importing.layout_of(blob)
    records = importing.sample_records(blob, layout)
    mapping, known_from = remembered_mapping(dataset, layout), ""
    if mapping is None:
        mapping = guess_mapping(records, layout.columns)
    else:
        known_from = "columns as in the last import of such a file"
    notes = [note for note in (shape_of(records, mapping), *layout.notes, known_from) if note]
    layout = replace(layout, notes=tuple(notes))
    earlier = (
        Import.objects.filter(dataset=dataset, blob__sha256=blob.sha256, state=ImportState.DONE)
        .order_by("id")
        .first()
    )
    with transaction.atomic():
        import_ = Import.objects.create(
            team=dataset.team,
            dataset=dataset,
            blob=blob,
            name=(name or blob.name)[:255],
            source=source,
            layout=layout.as_json(),
            mapping=mapping.as_json(),
            repeats=earlier,
            created_by=actor,
        )
        audit.record(
            actor=actor,
            team=dataset.team,
            verb="import.staged",
            target=import_,
            digests={"file": blob.sha256},
        )
    return import_


def remembered_mapping(dataset: Dataset, layout: Layout) -> ColumnMapping | None:
    """What people chose for the last finished import into this dataset with the same columns."""
    if not layout.columns:
        return None
    done = Import.objects.filter(dataset=dataset, state=ImportState.DONE).order_by("-id")
    for known, mapping in done.values_list("layout", "mapping")[:20]:
        if set(known.get("columns", ())) == set(layout.columns):
            return ColumnMapping.from_json(mapping)
    return None


def set_mapping(
    *,
    actor: User | None,
    import_: Import,
    mapping: ColumnMapping | dict[str, str],
    encoding: str = "",
    skip_bad_rows: bool | None = None,
) -> Import:
    """The draft with the person's columns. Raises BadInput naming the field; NothingToDo once it was started."""
    if not isinstance(mapping, ColumnMapping):
        mapping = ColumnMapping.from_json(mapping)
    layout = Layout.from_json(import_.layout)
    if encoding and encoding != layout.encoding:
        if encoding not in importing.ENCODINGS:
            raise BadInput("Choose one of the encodings offered.", field="encoding")
        layout = Layout.from_json({**import_.layout, "encoding": encoding})
    field, problem = mapping.problem(layout.columns)
    if problem:
        raise BadInput(problem, field=field)
    changes: dict[str, Any] = {"mapping": mapping.as_json(), "layout": layout.as_json()}
    if skip_bad_rows is not None:
        changes["skip_bad_rows"] = skip_bad_rows
    startable = [ImportState.DRAFT, ImportState.FAILED, ImportState.CANCELLED]
    with transaction.atomic():
        if not Import.objects.filter(pk=import_.pk, state__in=startable).update(**changes):
            raise NothingToDo("This import was already started, its columns stand.")
        audit.record(
            actor=actor, team=import_.dataset.team, verb="import.mapped", target=import_, fields=list(changes)
        )
    import_.refresh_from_db()
    return import_


def preview(*, import_: Import) -> importing.Preview:
    """The first rows as they would become examples, and how many of the first rows are usable."""
    return importing.preview(
        import_.blob,
        Layout.from_json(import_.layout),
        ColumnMapping.from_json(import_.mapping),
        task_kind=import_.dataset.use_case.task_kind,
    )


def start_import(
    *, actor: User | None, import_: Import, skip_bad_rows: bool | None = None, again: bool = False
) -> Job:
    """The job that reads the file. Rows appear when all of it is in; two presses are one job.

    Raises: Conflict when it was started, BadInput for a mapping that cannot be used or an unconfirmed repeat.
    """
    import_ = Import.objects.select_related("dataset__team", "dataset__use_case", "blob").get(pk=import_.pk)
    if import_.state == ImportState.RUNNING and import_.job is not None:
        return import_.job
    check_can_start(import_, again=again)
    layout = Layout.from_json(import_.layout)
    mapping = ColumnMapping.from_json(import_.mapping)
    field, problem = mapping.problem(layout.columns)
    if problem:
        raise BadInput(problem, field=field)
    skip = import_.skip_bad_rows if skip_bad_rows is None else skip_bad_rows
    with transaction.atomic():
        attempt = Job.objects.about(import_).count()
        job = start_job(
            actor=actor,
            team=import_.dataset.team,
            kind="datasets.import",
            title=f"Import {import_.name}",
            recipe={
                "import": import_.pk,
                "layout": layout.as_json(),
                "mapping": mapping.as_json(),
                "task_kind": import_.dataset.use_case.task_kind,
                "skip_bad_rows": skip,
            },
            subject=import_,
            url=reverse("datasets:import-detail", args=[import_.pk]),
            dedupe_key=f"import:{import_.pk}:{attempt}",
        )
        moved = Import.objects.filter(pk=import_.pk, state=import_.state).update(
            state=ImportState.RUNNING, job=job, skip_bad_rows=skip, error="", n_good=0, n_bad=0, n_blank=0
        )
        if moved:
            audit.record(actor=actor, team=import_.dataset.team, verb="import.started", target=import_)
    return job


# --- called by the import job ------------------------------------------------------------------------------------

_CONTENT = ("id", "team_id", "digest", "system", "turns", "prompt", "completion", "extra", "n_chars")
_EXAMPLE = (
    "id",
    "content_id",
    "team_id",
    "dataset_id",
    "source_id",
    "line",
    "label",
    "group",
    "at",
    "state",
    "review",
    "edition",
    "meta",
)
_BAD_ROW = ("source_id", "line", "column", "reason", "fix", "excerpt")


def write_examples(*, import_: Import, rows: list[tuple[int, Parts]], pace: bulk.Pace | None = None) -> None:
    """Write one slice of parsed rows, unseen until the import is finished. Lines that stand already are left out.

    Whoever reads a part of a file writes it in the order of its lines, so what stands of a slice is its beginning,
    however it was cut before.
    """
    if not rows:
        return
    pace = pace or bulk.Pace()
    team, dataset, source, moment = import_.team_id, import_.dataset_id, import_.pk, bulk.moment
    active = ExampleState.ACTIVE.value
    # All that can be made ready is, before the lock is taken.
    contents = [
        (team, digest(p[0], p[1], p[2], p[3], p[7]), p[0], p[1], p[2], p[3], p[7], len(p[2]) + len(p[3]))
        for _, p in rows
    ]
    examples = [
        (team, dataset, source, line, p[4], p[5], moment(p[6]) if p[6] else None, active, "", 1, p[8])
        for line, p in rows
    ]
    for attempt in range(WRITE_ATTEMPTS):
        try:
            with pace.transaction(len(rows)):
                # The first time they are taken to be new, as they nearly always are: who reads after a kill is told no.
                _write_new(source, contents, examples, some_may_stand=attempt > 0)
            return
        except IntegrityError:
            # They stand from before, or a worker that lost its lease has written the same lines this very moment.
            if attempt + 1 == WRITE_ATTEMPTS:
                raise


def _write_new(
    source: int, contents: list[tuple[Any, ...]], examples: list[tuple[Any, ...]], *, some_may_stand: bool
) -> None:
    if some_may_stand:
        lines = (examples[0][3], examples[-1][3])
        stands = Example.objects.filter(source_id=source, line__range=lines).aggregate(n=Max("line"))["n"]
        new = [i for i, example in enumerate(examples) if stands is None or example[3] > stands]
        contents, examples = [contents[i] for i in new], [examples[i] for i in new]
        if not examples:
            return
    content_ids = bulk.reserve_ids(Content, len(contents))
    example_ids = bulk.reserve_ids(Example, len(examples))
    bulk.insert(Content, _CONTENT, [(key, *row) for key, row in zip(content_ids, contents, strict=True)])
    bulk.insert(
        Example,
        _EXAMPLE,
        [(key, content, *row) for key, content, row in zip(example_ids, content_ids, examples, strict=True)],
    )


def write_bad_rows(*, import_: Import, rows: list[Bad]) -> None:
    """Keep named errors, each line once."""
    for part in bulk.chunks(rows):
        with transaction.atomic():
            bulk.insert(BadRow, _BAD_ROW, [(import_.pk, *bad) for bad in part], ignore=True)


def clear_bad_rows(*, import_: Import, job: Job) -> int:
    """Take away the errors of earlier attempts, in short slices, before `job` has planned a part. Returns how many.

    Once parts are planned it takes nothing, in whichever worker: from then on the errors may be of this attempt.
    """
    # One statement says both that nothing is planned and which errors stand, so those are all of before.
    earlier = BadRow.objects.filter(
        ~Exists(Shard.objects.filter(job=job)), source_id=import_.pk, source__job_id=job.pk
    ).values_list("id", flat=True)
    removed = 0
    while part := list(earlier[:BAD_ROWS_A_TRANSACTION]):
        with transaction.atomic():
            BadRow.objects.filter(pk__in=part)._raw_delete("default")
        removed += len(part)
    return removed


def count_shards(job: Job) -> Counter[str]:
    """What the finished parts of an import counted: good, bad, blank."""
    total: Counter[str] = Counter()
    for result in Shard.objects.filter(job=job).values_list("result", flat=True).iterator():
        total.update({key: result.get(key, 0) for key in ("good", "bad", "blank")})
    return total


def count_left_out(job: Job) -> Counter[str]:
    """In how many rows the finished parts of an import left out which column."""
    total: Counter[str] = Counter()
    for result in Shard.objects.filter(job=job).values_list("result", flat=True).iterator():
        total.update(result.get("left_out", {}))
    return total


def show_import(*, import_: Import, counts: Counter[str], left_out: Counter[str] | None = None) -> bool:
    """Make all rows of a read import visible at once; False when that was done before."""
    labels = dict(
        Example.objects.filter(source_id=import_.pk).values_list("label").annotate(n=Count("id")).order_by()
    )
    labels.pop("", None)
    n_rows = Example.objects.filter(source_id=import_.pk).count()
    with transaction.atomic():
        moved = Import.objects.filter(pk=import_.pk, state=ImportState.RUNNING).update(
            state=ImportState.DONE,
            n_good=n_rows,
            n_bad=counts["bad"],
            n_blank=counts["blank"],
            left_out=dict((left_out or Counter()).most_common(MAX_COLUMNS)),
            finished_at=timezone.now(),
        )
        if not moved:
            return False
        dataset = (
            Dataset.objects.select_for_update().select_related("use_case", "team").get(pk=import_.dataset_id)
        )
        dataset.label_counts = merge_counts(dataset.label_counts, labels)
        Dataset.objects.filter(pk=dataset.pk).update(
            n_active=F("n_active") + n_rows, revision=F("revision") + 1, label_counts=dataset.label_counts
        )
        audit.record(
            actor=import_.created_by,
            team=dataset.team,
            verb="import.finished",
            target=import_,
            note=f"{n_rows} rows",
        )
    dataset.refresh_from_db()
    record_evidence(
        use_case=dataset.use_case,
        kind="examples_in_hand",
        value=dataset.n_active,
        source=f"dataset “{dataset.name}”",
        actor=import_.created_by,
    )
    return True


def start_indexing(*, actor: User | None, import_: Import) -> Job | None:
    """The job that puts the texts of a finished import into the search index; None where there is no index."""
    if import_.indexed_at is not None or not searching.exists():
        return None
    # One that ended and left the import unindexed (a failure, a restored dataset) stands in no way of the next.
    last = Job.objects.about(import_).filter(kind=INDEX_KIND).first()
    if last is not None and not last.is_finished:
        return last
    return start_job(
        actor=actor,
        team=import_.dataset.team,
        kind=INDEX_KIND,
        title=f"Search index of {import_.name}",
        recipe={"import": import_.pk},
        subject=import_,
        url=reverse("datasets:import-detail", args=[import_.pk]),
        dedupe_key=f"index:{import_.pk}:{last.pk if last else 0}",
    )


def start_missing_indexing(*, most: int = 20) -> int:
    """Start the indexing of finished imports that have none: older than the index, or whose job failed. Returns how many."""
    if not searching.exists():
        return 0
    jobs = Job.objects.filter(kind=INDEX_KIND, subject_id=OuterRef("pk"))
    just_failed = jobs.filter(state=JobState.FAILED, finished_at__gt=timezone.now() - PAUSE_AFTER_A_FAILURE)
    missing = (
        Import.objects.filter(indexed_at=None)
        .visible_rows()
        .exclude(Exists(jobs.open()))
        .exclude(Exists(just_failed))
        .select_related("dataset__team")
        .order_by("id")[:most]
    )
    return sum(start_indexing(actor=None, import_=import_) is not None for import_ in missing)


def index_anew() -> int:
    """Begin the whole search index again, empty, with a job for every import. Returns how many. Not in a transaction."""
    searching.make_anew()
    Import.objects.update(indexed_at=None, indexed_upto=0)
    shown = Import.objects.visible_rows().select_related("dataset__team").order_by("pk")
    return sum(start_indexing(actor=None, import_=import_) is not None for import_ in shown)


def n_indexed(import_: Import) -> int:
    """Rows of an import that are in the search index already."""
    upto = Import.objects.filter(pk=import_.pk).values_list("indexed_upto", flat=True).get()
    return Example.objects.filter(source_id=import_.pk, id__lte=upto).count() if upto else 0


def index_rows(*, import_: Import, pace: bulk.Pace | None = None) -> int:
    """Put the next rows of an import into the search index. Returns how many; 0 when all are in. Once each.

    Whoever is second to the same rows writes nothing, because the place reached moves in the same transaction.
    """
    pace = pace or indexing_pace()
    reached = Import.objects.filter(pk=import_.pk).values_list("indexed_upto", flat=True).get()
    rows = Example.objects.filter(source_id=import_.pk, dataset_id=import_.dataset_id)
    part = list(rows.filter(id__gt=reached).order_by("id").values_list("id", "content_id")[: pace.n_rows])
    here = Import.objects.filter(pk=import_.pk, indexed_upto=reached)
    if not part:
        here.filter(indexed_at=None).update(indexed_at=timezone.now())
        return 0
    lowest, greatest = min(content for _, content in part), max(content for _, content in part)
    with pace.transaction(len(part)):
        if here.update(
            indexed_upto=part[-1][0],
            first_content=Least(Coalesce(F("first_content"), Value(lowest)), Value(lowest)),
            last_content=Greatest(Coalesce(F("last_content"), Value(greatest)), Value(greatest)),
        ):
            searching.add([content for _, content in part])
    for _ in range(MERGES_A_TRANSACTION):
        if not searching.merge():
            break
    return len(part)


def indexing_pace() -> bulk.Pace:
    """How many rows go into the search index at once, which is made ready for many."""
    searching.prepare()
    pace = bulk.Pace(INDEXED_A_TRANSACTION, most=bulk.MOST_WHERE_ROWS_DIFFER)
    pace.n_rows = min(pace.most, INDEXED_A_TRANSACTION)
    return pace


def clear_staged(*, import_: Import) -> int:
    """Remove rows of an import that never became visible, in short transactions. Returns how many."""
    pace, removed = bulk.Pace(most=bulk.MOST_WHERE_ROWS_DIFFER), 0
    staged = Example.objects.filter(source_id=import_.pk).values_list("id", "content_id")
    while Import.objects.filter(pk=import_.pk).exclude(state=ImportState.DONE).exists():
        rows = list(staged[: pace.n_rows])
        if not rows:
            break
        with pace.transaction(len(rows)):
            Example.objects.filter(pk__in=[row[0] for row in rows])._raw_delete("default")
            Content.objects.filter(pk__in=[row[1] for row in rows])._raw_delete("default")
        removed += len(rows)
    return removed


def close_import(*, import_: Import, state: ImportState, error: str, counts: Counter[str]) -> None:
    """An import that brought nothing: its rows go, its errors and its reason stay."""
    with transaction.atomic():
        Import.objects.filter(pk=import_.pk, state=ImportState.RUNNING).update(
            state=state,
            error=error[:1000],
            n_good=counts["good"],
            n_bad=counts["bad"],
            n_blank=counts["blank"],
            finished_at=timezone.now(),
        )
    clear_staged(import_=import_)


def discard_import(*, actor: User | None, import_: Import) -> None:
    """Take away a draft or failed import; its file stays in the store. Raises NothingToDo once rows came of it."""
    check_can_change(import_.dataset)
    if import_.state in (ImportState.RUNNING, ImportState.DONE):
        raise NothingToDo("This import is under way or finished, so it stays on the record.")
    with transaction.atomic():
        audit.record(actor=actor, team=import_.dataset.team, verb="import.discarded", target=import_)
        Import.objects.filter(pk=import_.pk).exclude(
            state__in=[ImportState.RUNNING, ImportState.DONE]
        ).delete()
