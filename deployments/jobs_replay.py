"""Replaying known rows through an endpoint as long work: one item a hundred rows, with progress and cancel."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from datasets import importing
from datasets.domain.mapping import ColumnMapping
from datasets.models import DatasetVersion
from datasets.reading import version_rows
from deployments.domain.canary import RolloutState
from deployments.models import Endpoint, GatewayToken, Rollout
from deployments.replaying import Asked, check_is_capped, send
from deployments.services import issue_gateway_token, revoke_gateway_token
from foundation.files.models import Blob
from foundation.jobs.kinds import Kind, Outcome, Plan, Work
from foundation.jobs.models import Job, Shard
from foundation.teams.errors import BadInput, PortalError

ROWS_AN_ITEM = 100
# A replay is for trying and for demonstrating; load is made by the bench.
MOST_ROWS = 20_000


class Replay(Kind):
    """Recipe: {"endpoint", "start", "end"} and {"blob", "mapping"}, or {"version", "split"} for frozen rows.

    Not test rows: they are for claims. With "anonymous" it is a smoke test: no keys, so it enters no comparison, and no
    feedback. With "rollout" and "step" it ends when that step does. A piece that a worker lost is sent again, as a client would.
    """

    name = "deployments.replay"
    title = "Replay requests"
    cancelling = "Answers given so far stay in the record; the key of the replay is taken back."
    batch_size = 1
    parallel = 1
    quiet = True

    def plan(self, job: Job, cursor: int) -> Plan:
        """Pieces of a hundred rows."""
        start, end = int(job.recipe["start"]), int(job.recipe["end"])
        if not 0 <= start <= end <= MOST_ROWS:
            raise BadInput(f"A replay sends between 0 and {MOST_ROWS:,} rows.", field="end")
        endpoint = Endpoint.objects.of(job.team).filter(pk=job.recipe["endpoint"]).first()
        if endpoint is not None:
            check_is_capped(endpoint)
        cuts = range(start, end, ROWS_AN_ITEM)
        return Plan(
            [
                Shard(
                    job=job,
                    position=i,
                    key=f"rows {cut + 1} to {min(cut + ROWS_AN_ITEM, end)}",
                    payload={"start": cut, "end": min(cut + ROWS_AN_ITEM, end)},
                )
                for i, cut in enumerate(cuts)
            ]
        )

    def run(self, job: Job, items: Sequence[Any], work: Work) -> Iterator[Outcome]:
        """Send one piece after the other."""
        for item in items:
            if self.has_moved_on(job):
                yield Outcome.skip(item, "The rollout has gone on; its next step gets requests of its own.")
                continue
            try:
                endpoint = Endpoint.objects.of(job.team).get(pk=job.recipe["endpoint"])
                rows = list(islice(self.rows(job), item.payload["start"], item.payload["end"]))
                if job.recipe.get("anonymous"):
                    rows = [Asked(row.text) for row in rows]
                _, text = self.token(job, endpoint)
                sent = send(endpoint, text, rows)
            except Endpoint.DoesNotExist:
                yield Outcome.failure(item, "The endpoint is gone.")
                return
            except PortalError as error:
                yield Outcome.failure(item, str(error))
                return
            yield Outcome(
                item,
                result={"answered": sent.n_answered, "failures": sent.failures, "gateway": sent.gateway},
            )

    @staticmethod
    def has_moved_on(job: Job) -> bool:
        """Whether these requests were for a step of a rollout that is over."""
        if (pk := job.recipe.get("rollout")) is None:
            return False
        rollout = Rollout.objects.of(job.team).filter(pk=pk).first()
        return rollout is None or not (
            rollout.phase is RolloutState.RUNNING and rollout.step_index == job.recipe["step"]
        )

    @staticmethod
    def rows(job: Job) -> Iterator[Asked]:
        """The rows in their order: of a file, or of a frozen split."""
        recipe = job.recipe
        if version := recipe.get("version"):
            split = str(recipe.get("split", "validation"))
            if split == "test":
                raise BadInput("Test rows are sealed: they are for claims, not for replays.", field="split")
            frozen = DatasetVersion.objects.of(job.team).get(pk=version)
            for row in version_rows(frozen, split):
                yield Asked(row.prompt, f"row {row.content_id}", row.label or row.completion)
            return
        blob = Blob.objects.of(job.team).get(pk=recipe["blob"])
        endpoint = Endpoint.objects.of(job.team).select_related("use_case").get(pk=recipe["endpoint"])
        mapping = ColumnMapping.from_json(recipe["mapping"])
        layout, kind = importing.layout_of(blob), endpoint.use_case.task_kind
        with importing.opened(blob, layout) as source:
            for batch in importing.stream_batches(source.stream, layout, mapping, task_kind=kind):
                for _, parts in batch.good:
                    yield Asked(parts.prompt, parts.group, parts.label or parts.completion)

    @staticmethod
    def token(job: Job, endpoint: Endpoint) -> tuple[GatewayToken, str]:
        """A key of its own for a day, found again by every piece; it ends with the job."""
        if job.created_by is None:
            raise BadInput("A replay is started by a person, whose token it uses.")
        return issue_gateway_token(
            actor=job.created_by, endpoint=endpoint, name=f"Replay {job.pk}", days=1, press=f"replay {job.pk}"
        )

    def finish(self, job: Job) -> dict[str, Any]:
        """Answers and failures together; the key is taken back."""
        results = [s.result for s in Shard.objects.filter(job=job).order_by("position")]
        failures: Counter[str] = Counter()
        for result in results:
            failures.update(result.get("failures", {}))
        self.abandoned(job)
        return {
            "answered": sum(result.get("answered", 0) for result in results),
            "failures": dict(failures),
            "gateway": next((result["gateway"] for result in results if result.get("gateway")), ""),
        }

    def abandoned(self, job: Job) -> None:
        """The key is taken back, however the job ended."""
        for token in GatewayToken.objects.filter(
            team=job.team, endpoint=job.recipe["endpoint"], name=f"Replay {job.pk}"
        ):
            revoke_gateway_token(actor=job.created_by, token=token)
