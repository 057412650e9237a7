"""Long work of this app as kinds of jobs: they plan, read and hand over; services write."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from django.utils import timezone

from datasets import bulk, importing, judging_jobs, label_jobs, writing_jobs
from datasets.checking import Alike
from datasets.domain import quality
from datasets.domain.layouts import Layout
from datasets.domain.mapping import ColumnMapping
from datasets.domain.parsing import giant
from datasets.domain.statuses import ImportState
from datasets.fixing_job import FixRows
from datasets.models import (
    BadRow,
    CheckPart,
    CheckRun,
    Content,
    Dataset,
    DatasetVersion,
    Example,
    Finding,
    Import,
    Judgement,
    QualityRun,
)
from datasets.review_job import PlanReview
from datasets.services import checks, exports, imports, judging, reports
from datasets.version_jobs import CompareVersions, FreezeVersion, MixVersions
from foundation.files import store
from foundation.jobs import services as jobs
from foundation.jobs.concurrent import answers
from foundation.jobs.domain.states import ItemState, JobState
from foundation.jobs.kinds import Kind, Outcome, Plan, Wait, Work
from foundation.jobs.models import Job, Shard
from foundation.llm.budget import Ledger, open_budget
from foundation.llm.domain.messages import Message, Request
from foundation.llm.door import complete
from foundation.llm.errors import LLMError, SpendLimitReached
from foundation.llm.models import Connection
from foundation.teams.errors import PortalError

# So many rows that cannot be used, with fewer than one in a hundred that can, are no file of rows.
HOPELESS = 100_000
# A shard is about this many bytes of JSONL: some tenths of a second of work, so cancel and progress are quick.
SHARD_BYTES = 2 * 1024 * 1024
SHARDS_A_PLAN = 64
STRETCHES_A_PLAN = 64
# What goes before making rows searchable, how often that asks, and how long it waits at most.
BEFORE_AN_INDEX = ("datasets.import", "datasets.checks", "datasets.fix", "datasets.freeze")
YIELD_S, WAITS_AT_MOST = 1.0, timedelta(minutes=15)
# How soon an item of a check that waits for other items is offered again, and how often a worker that needs another's
# answer looks for it.
UNTIL_LOOKED_S, LOOK_AGAIN_S = 0.05, 0.02


def _import_of(job: Job) -> Import:
    return Import.objects.select_related("dataset__team", "dataset__use_case", "blob").get(
        pk=job.recipe["import"]
    )


class ImportRows(Kind):
    """Reads a staged file into examples that stay unseen until all of it is in.

    JSONL in UTF-8 is cut into byte ranges that several workers read at once; every other file is one stream that
    goes on where it was, because slices already written are recognised.
    """

    name = "datasets.import"
    title = "Import"
    counted = "parts of the file"
    cancelling = "No row is imported; the file stays."
    # A tenth of a second each: two workers end within a few of each other, and claiming still costs next to nothing.
    batch_size = 3
    all_or_nothing = True

    def plan(self, job: Job, cursor: int) -> Plan:
        """Byte ranges of whole lines, 64 at a time; the cursor is the byte where the next one begins."""
        import_ = _import_of(job)
        if not cursor:
            imports.clear_bad_rows(import_=import_, job=job)
        layout = Layout.from_json(job.recipe["layout"])
        if not importing.is_sharded(layout):
            return Plan([Shard(job=job, position=0, key="stream", payload={"stream": True})])
        first_line, position = 1, 0
        if cursor:
            last = Shard.objects.filter(job=job, payload__end=cursor).order_by("-position").first()
            if last is not None:
                first_line, position = last.payload["next_line"], last.position + 1
        elif layout.encoding == "utf-8-sig":
            cursor = 3
        with store.open(import_.blob) as stream:
            ranges = importing.byte_ranges(stream, cursor, first_line, size=SHARD_BYTES, most=SHARDS_A_PLAN)
        items = [
            Shard(
                job=job,
                position=position + i,
                key=f"from line {part.first_line}",
                payload={
                    "start": part.start,
                    "end": part.end,
                    "first_line": part.first_line,
                    "next_line": part.first_line + part.n_lines,
                    "giant": part.is_giant,
                },
            )
            for i, part in enumerate(ranges)
        ]
        finished = len(ranges) < SHARDS_A_PLAN
        return Plan(items, None if finished else ranges[-1].end)

    def run(self, job: Job, items: Sequence[Any], work: Work) -> Iterator[Outcome]:
        """Parse and write one part after another; each answers with its counts."""
        import_ = _import_of(job)
        mapping = ColumnMapping.from_json(job.recipe["mapping"])
        # A part has too few lines to say that a file is hopeless, so those before it count as well.
        before = imports.count_shards(job)
        for item in items:
            left_out: Counter[str] = Counter()
            if item.payload.get("stream"):
                counts = self._stream(job, import_, mapping, work, left_out)
            else:
                counts = self._shard(job, import_, mapping, item.payload, work, before, left_out)
            if (
                counts is None
            ):  # stopped half-way: the part is read again later, slices already written are known
                return
            before.update(counts)
            yield Outcome(item, result={**counts, **({"left_out": dict(left_out)} if left_out else {})})

    def _shard(
        self,
        job: Job,
        import_: Import,
        mapping: ColumnMapping,
        payload: dict[str, Any],
        work: Work,
        before: Counter[str],
        left_out: Counter[str],
    ) -> Counter[str]:
        if payload["giant"]:
            imports.write_bad_rows(
                import_=import_, rows=[giant(payload["first_line"], payload["end"] - payload["start"])]
            )
            return Counter(bad=1)
        counts: Counter[str] = Counter()
        pace = bulk.Pace()
        # Read a little, write a little: between two writes others find the lock free.
        for batch in importing.shard_rows(
            import_.blob,
            payload["start"],
            payload["end"],
            payload["first_line"],
            mapping,
            task_kind=job.recipe["task_kind"],
            n_lines=lambda: pace.n_rows,
            left_out=left_out,
        ):
            imports.write_examples(import_=import_, rows=batch.good, pace=pace)
            imports.write_bad_rows(import_=import_, rows=batch.bad)
            counts.update(good=len(batch.good), bad=len(batch.bad), blank=batch.n_blank)
            _stop_if_hopeless(before + counts)
            work.heartbeat()
        return counts

    def _stream(
        self, job: Job, import_: Import, mapping: ColumnMapping, work: Work, left_out: Counter[str]
    ) -> Counter[str] | None:
        layout = Layout.from_json(job.recipe["layout"])
        counts: Counter[str] = Counter()
        pace = bulk.Pace()
        with importing.opened(import_.blob, layout) as source:
            for batch in importing.stream_batches(
                source.stream,
                layout,
                mapping,
                task_kind=job.recipe["task_kind"],
                n_lines=lambda: pace.n_rows,
                left_out=left_out,
            ):
                imports.write_examples(import_=import_, rows=batch.good, pace=pace)
                imports.write_bad_rows(import_=import_, rows=batch.bad)
                counts.update(good=len(batch.good), bad=len(batch.bad), blank=batch.n_blank)
                _stop_if_hopeless(counts)
                # A file knows where it stands by bytes, a Parquet file by its rows.
                at = source.position() or sum(counts.values())
                work.progress(min(at, source.size), source.size, "Reading rows")
                if work.cancelled:
                    return None
        return counts

    def finish(self, job: Job) -> dict[str, Any]:
        """Show all rows at once, or refuse with the first reason. Raises PortalError when nothing may come in."""
        import_ = _import_of(job)
        if import_.state not in (ImportState.RUNNING, ImportState.DONE):
            raise PortalError("What was read of this file is gone. Start the import again from its page.")
        counts = imports.count_shards(job)
        if counts["bad"] and not job.recipe["skip_bad_rows"]:
            first = BadRow.objects.filter(source=import_).first()
            where = f" {import_.place} {first.line:,}: {first.reason}." if first else ""
            rows = "1 row" if counts["bad"] == 1 else f"{counts['bad']:,} rows"
            raise PortalError(
                f"{rows} of {counts['good'] + counts['bad']:,} cannot be used, so nothing was imported.{where} "
                "Mend the file, or tick “skip bad rows”."
            )
        if not counts["good"]:
            raise PortalError("The file holds no usable row, so nothing was imported.")
        imports.show_import(import_=import_, counts=counts, left_out=imports.count_left_out(job))
        import_.refresh_from_db()
        checks.start_checks(actor=import_.created_by, dataset=import_.dataset)
        imports.start_indexing(actor=import_.created_by, import_=import_)
        return {"rows": counts["good"], "bad_rows": counts["bad"], "blank_lines": counts["blank"]}

    def abandoned(self, job: Job) -> None:
        """Take out what was staged and write down why."""
        import_ = _import_of(job)
        state = ImportState.CANCELLED if job.state == JobState.CANCELLED else ImportState.FAILED
        error = "Cancelled. Nothing was imported." if state is ImportState.CANCELLED else job.error
        # One that ended before it planned anything still has the errors of the attempt before.
        imports.clear_bad_rows(import_=import_, job=job)
        imports.close_import(import_=import_, state=state, error=error, counts=imports.count_shards(job))


def _stop_if_hopeless(counts: Counter[str]) -> None:
    """Raises PortalError where nearly nothing can be used.

    250 kB of gzip hold 22 million rows of nothing, each an error to keep.
    """
    bad, good = counts["bad"], counts["good"]
    if bad >= HOPELESS and 100 * good < bad:
        usable = f"Only {good:,}" if good else "None"
        raise PortalError(
            f"{usable} of {good + bad:,} rows can be used, so reading stopped and nothing was imported. "
            "Look at the columns: this may be another kind of file."
        )


class IndexRows(Kind):
    """Puts the texts of a finished import into the search index, some at a time; goes on where it was after a kill."""

    name = "datasets.index"
    title = "Search index"
    cancelling = "Rows that are not in the index yet are looked for one by one."
    parallel = 1
    quiet = True

    def run(self, job: Job, items: Sequence[Any], work: Work) -> Iterator[Outcome | Wait]:
        """One item: slices until all rows are in."""
        import_ = _import_of(job)
        total, done = max(2, import_.n_good), imports.n_indexed(import_)
        pace = imports.indexing_pace()
        for item in items:
            while True:
                if _others_first(job):
                    yield Wait(YIELD_S, "Waiting until the rows are checked", item)
                    return
                if not (n := imports.index_rows(import_=import_, pace=pace)):
                    break
                done += n
                work.progress(min(done, total - 1), total, "Making rows searchable")
                if work.cancelled:
                    return
            yield Outcome(item, result={"rows": done})


def _others_first(job: Job) -> bool:
    """Whether people wait for other work on rows: a search can do without its index, a freeze not without its check."""
    if timezone.now() - job.created_at > WAITS_AT_MOST:
        return False
    return Job.objects.active().filter(team=job.team_id, kind__in=BEFORE_AN_INDEX).exists()


class CheckRows(Kind):
    """Goes over all active rows of a dataset and shows a new report when it is whole.

    Stretches of rows are looked at by as many workers as there are. Two more items wait for them: one compares the rows
    of all stretches with each other, the other joins everything else, writes it down, and ends the report with what
    the comparison found.
    """

    name = "datasets.checks"
    title = "Checks"
    cancelling = "No new report is made; the one that stands stays."
    batch_size = 1
    all_or_nothing = True

    def plan(self, job: Job, cursor: int) -> Plan:
        """One item a stretch of rows, then one that compares and one that reports. The cursor is the last id planned."""
        dataset = Dataset.objects.get(pk=job.recipe["dataset"])
        stretches, is_last = checks.check_stretches(dataset=dataset, after=cursor, most=STRETCHES_A_PLAN)
        place = Shard.objects.filter(job=job, payload__upto__lte=cursor).count() if cursor else 0
        items = [
            Shard(
                job=job,
                position=place + i,
                key=f"rows from {after + 1}",
                # The rows as they are when the first is looked at: what changes later makes the report out of date.
                payload={"after": after, "upto": upto, "revision": dataset.revision},
            )
            for i, (after, upto) in enumerate(stretches)
        ]
        if is_last:
            n_parts = place + len(items)
            items += [
                Shard(job=job, position=n_parts + i, key=key, payload={"join": key, "n_parts": n_parts})
                for i, key in enumerate(("compare", "report"))
            ]
        return Plan(items, None if is_last else stretches[-1][1])

    def run(self, job: Job, items: Sequence[Any], work: Work) -> Iterator[Outcome | Wait]:
        """Look at stretches; join them once every one is done."""
        dataset = Dataset.objects.select_related("team", "use_case").get(pk=job.recipe["dataset"])
        for item in items:
            if "join" not in item.payload:
                part = checks.look_at(dataset=dataset, after=item.payload["after"], upto=item.payload["upto"])
                yield Outcome(item, result={"rows": len(part.ids)}, data=part.as_bytes())
                continue
            if "n_parts" not in item.payload:
                yield Outcome.failure(item, "The portal was renewed while this check ran. Check again.")
                return
            n_parts = item.payload["n_parts"]
            shards = Shard.objects.filter(job=job)
            if shards.filter(position__lt=n_parts).exclude(state=ItemState.DONE).exists():
                yield Wait(UNTIL_LOOKED_S, "Waiting for the last rows to be looked at", item)
            elif item.payload["join"] == "compare":
                alike = checks.find_alike(job=job, dataset=dataset, n_parts=n_parts, progress=work.progress)
                if work.cancelled:
                    return
                yield Outcome(item, data=alike.as_bytes())
            elif shards.filter(position=n_parts, state=ItemState.QUEUED).exists():
                yield Wait(UNTIL_LOOKED_S, checks.COMPARING, item)
            else:
                yield from self._report(job, item, dataset, work)

    def _report(self, job: Job, item: Any, dataset: Dataset, work: Work) -> Iterator[Outcome | Wait]:
        n_parts = item.payload["n_parts"]
        checker = checks.join_parts(job=job, dataset=dataset, n_parts=n_parts, progress=work.progress)
        if work.cancelled:
            return
        first = Shard.objects.filter(job=job).order_by("position").first()
        run = reports.write_report(
            job=job,
            dataset=dataset,
            checker=checker,
            alike=lambda: _awaited(job, n_parts, work),
            revision=first.payload.get("revision", job.recipe["revision"]) if first else 0,
            beat=work.heartbeat,
        )
        if run is not None:
            yield Outcome(item, result={"run": run.pk})
        elif not work.cancelled:
            yield Wait(UNTIL_LOOKED_S, checks.COMPARING, item)

    def store(self, job: Job, outcomes: Sequence[Outcome]) -> None:
        """Keep what was seen of each stretch."""
        for outcome in outcomes:
            if outcome.data is not None:
                CheckPart.objects.filter(job=job, position=outcome.item.position).delete()
                CheckPart.objects.create(job=job, position=outcome.item.position, data=outcome.data)

    def finish(self, job: Job) -> dict[str, Any]:
        """How many rows each rule found."""
        checks.clear_parts(job)
        run = CheckRun.objects.filter(job=job).exclude(finished_at=None).first()
        found = Finding.objects.filter(run=run).values_list("rule", "n_rows") if run else []
        return {"rows": run.n_rows if run else 0, "findings": dict(found)}

    def abandoned(self, job: Job) -> None:
        """Take away a report that was not finished, and the parts of it."""
        checks.clear_parts(job)
        for run in CheckRun.objects.filter(job=job, finished_at=None):
            reports.remove_run(run)


def _awaited(job: Job, position: int, work: Work) -> Alike | None:
    """What the worker that compares has found; None if there is none any more, or somebody wants to stop.

    It began before or just now, so waiting here is short; a worker that waits could not compare.
    """
    at_work = Shard.objects.filter(job=job, position=position, state=ItemState.RUNNING)
    while (alike := checks.alike_at(job=job, position=position)) is None:
        work.heartbeat()
        if work.cancelled or not at_work.filter(lease_until__gte=timezone.now()).exists():
            return checks.alike_at(job=job, position=position)
        time.sleep(LOOK_AGAIN_S)
    return alike


class CheckExports(Kind):
    """Goes over the rows of a frozen version as every provider would read them."""

    name = "datasets.export_check"
    title = "Check exports"
    cancelling = "Nothing of it is kept. The version stays as it is."
    parallel = 1
    quiet = True

    def run(self, job: Job, items: Sequence[Any], work: Work) -> Iterator[Outcome]:
        """One item: read, hold against the rules, write the report."""
        version = DatasetVersion.objects.select_related("dataset__team").get(pk=job.recipe["version"])
        for item in items:
            report = exports.check_exports(
                version=version, progress=lambda done, total: work.progress(done, total, "Reading rows")
            )
            if work.cancelled:
                return
            work.still_mine()
            exports.finish_export_check(version=version, report=report, job=job)
            yield Outcome(item)


@dataclass(frozen=True, slots=True)
class _Judged:
    """What came of asking about one row."""

    rating: quality.Rating | None = None
    unscored: str = ""
    reply: str = ""
    cost_microusd: int = 0
    # The fields of an earlier verdict on the same text.
    before: dict[str, Any] | None = None


class JudgeRows(Kind):
    """Asks a model about a frozen sample of rows, several at once, under the cap of the run."""

    name = "datasets.quality"
    title = "Quality"
    counted = "rows"
    cancelling = "Rows judged so far keep their verdict and count."
    item_model = Judgement
    batch_size = 16
    parallel = 2

    def plan(self, job: Job, cursor: int) -> Plan:
        """One item a row of the sample, its content as it is now."""
        chosen = judging.rows_to_judge(job)
        examples = {e.pk: e for e in Example.objects.filter(pk__in=chosen)}
        return Plan(
            [
                Judgement(
                    job=job,
                    position=position,
                    run_id=job.recipe["run"],
                    example_id=key,
                    content_id=examples[key].content_id,
                )
                for position, key in enumerate(chosen)
                if key in examples
            ]
        )

    def run(self, job: Job, items: Sequence[Any], work: Work) -> Iterator[Outcome]:
        """Ask about each row. A row without a usable reply is unscored with its reason, never a number."""
        waiting = items.peek() if hasattr(items, "peek") else list(items)
        connection = (
            Connection.objects.select_related("team")
            .filter(pk=job.recipe["connection"], team=job.team_id)
            .first()
        )
        if connection is None:
            raise PortalError("The connection of this judging was removed. Start it anew with another.")
        run = QualityRun.objects.select_related("dataset__use_case").get(pk=job.recipe["run"])
        use_case = run.dataset.use_case
        ledger = open_budget(job, job.cap_microusd or 0)
        contents = {c.pk: c for c in Content.objects.filter(pk__in=[item.content_id for item in waiting])}
        # Read everything before the first call leaves: calls run beside the thread that owns the database.
        requests = {
            key: judging.question_for(content, use_case, job.recipe["model"])
            for key, content in contents.items()
        }

        before = {item.pk: judging.verdict_before(job, item) for item in waiting}

        async def ask(item: Judgement) -> _Judged:
            content = contents[item.content_id]
            if before[item.pk] is not None:
                return _Judged(before=before[item.pk])
            if use_case.task_kind != "classify" and quality.is_degenerate(content.completion):
                return _Judged(unscored="the answer says nothing; no model was asked")
            return await _ask(connection, requests[item.content_id], ledger)

        for item, answer in answers(items, ask, connection.max_concurrency):
            content = contents[item.content_id]
            suspicious = quality.is_suspicious(*content.shown)
            if isinstance(answer, SpendLimitReached):
                jobs.pause_job(actor=None, job=job)
                yield Outcome.failure(item, str(answer), fields={"unscored": str(answer)[:300]})
            elif isinstance(answer, PortalError):
                cost = getattr(answer, "cost_microusd", 0) or 0
                yield Outcome.failure(
                    item, str(answer), fields={"unscored": str(answer)[:300]}, cost_microusd=cost
                )
            elif isinstance(answer, BaseException):
                raise answer
            else:
                rating = answer.rating
                yield Outcome(
                    item,
                    fields=answer.before
                    or {
                        "overall": rating.overall if rating else None,
                        "scores": rating.scores if rating else {},
                        "issues": list(rating.issues) if rating else [],
                        "kinds": list(rating.kinds) if rating and rating.kinds is not None else None,
                        "unscored": answer.unscored[:300],
                        "suspicious": suspicious,
                        "reply": answer.reply[:20_000],
                    },
                    cost_microusd=answer.cost_microusd,
                )

    def finish(self, job: Job) -> dict[str, Any]:
        """Average, interval and label over the scored rows."""
        run = judging.finish_quality(job=job)
        return {"sample": run.n_sample, "scored": run.n_scored, "average": run.average}

    def abandoned(self, job: Job) -> None:
        """What was judged before a cancel or failure stays, and counts."""
        judging.finish_quality(job=job)


async def _ask(connection: Connection, request: Request, ledger: Ledger) -> _Judged:
    """One row's rating; a reply that cannot be used is asked for once more."""
    reply = await complete(connection, request, ledger=ledger)
    paid = 0 if reply.from_cache else reply.cost_microusd
    try:
        return _Judged(quality.parse_reply(reply.text), reply=reply.text, cost_microusd=paid)
    except quality.Unscored as reason:
        again = replace(
            request,
            messages=(
                *request.messages,
                Message("assistant", reply.text[:4000] or "(nothing)"),
                Message("user", quality.REPAIR.format(reason=reason)),
            ),
        )
        first = str(reason)
    try:
        second = await complete(connection, again, ledger=ledger)
    except SpendLimitReached:
        raise
    except LLMError as error:
        return _Judged(unscored=f"{first}; then: {error}", reply=reply.text, cost_microusd=paid)
    paid += 0 if second.from_cache else second.cost_microusd
    try:
        return _Judged(quality.parse_reply(second.text), reply=second.text, cost_microusd=paid)
    except quality.Unscored as reason:
        return _Judged(unscored=f"{reason}, twice", reply=second.text, cost_microusd=paid)


KINDS: list[type[Kind]] = [
    ImportRows,
    IndexRows,
    CheckRows,
    FixRows,
    PlanReview,
    FreezeVersion,
    CheckExports,
    CompareVersions,
    MixVersions,
    JudgeRows,
    *label_jobs.KINDS,
    *judging_jobs.KINDS,
    *writing_jobs.KINDS,
]
