"""The lifecycle as long work: one item a step, each asked again until it is done, so that any kill is survived."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from django.db import OperationalError

from foundation.jobs.domain.states import ItemState
from foundation.jobs.kinds import Outcome, Plan, RemoteKind, Wait, Work
from foundation.jobs.models import Job, Shard
from foundation.teams.errors import PortalError
from ftportal.course import Course, Waiting
from ftportal.lifecycle import STEPS

ASK_AGAIN_S = 0.4


class RunLifecycle(RemoteKind):
    """From a raw file to a verdict. The recipe names the file's blob, the use case and how it is to be read."""

    name = "ftportal.lifecycle"
    title = "Lifecycle"
    cancelling = "What earlier steps made is kept; the step under way is cancelled."
    batch_size = len(STEPS)
    all_or_nothing = True

    def plan(self, job: Job, cursor: int) -> Plan:
        """One item a step."""
        return Plan(
            [
                Shard(job=job, position=i, key=step.key, payload={"title": step.title})
                for i, step in enumerate(STEPS)
            ]
        )

    def run(self, job: Job, items: Sequence[Any], work: Work) -> Iterator[Outcome | Wait]:
        """Ask the first unfinished step; go on to the next as long as each is done."""
        done = Shard.objects.filter(job=job, state=ItemState.DONE).order_by("position")
        results = {shard.position: shard.result for shard in done}
        facts = {k: v for result in results.values() for k, v in result.get("facts", {}).items()}
        course = Course(job.team, job.created_by, job.recipe, facts)
        for item in items:
            if item.position != len(results):
                yield Wait(ASK_AGAIN_S, "", item)
                continue
            step = STEPS[item.position]
            try:
                answer = step.ask(course)
            except OperationalError:
                # A busy database is asked again; the step wrote nothing by halves.
                yield Wait(ASK_AGAIN_S, f"{step.title}: waiting for the database", item)
                continue
            except PortalError as error:
                yield Outcome.failure(item, str(error))
                return
            if isinstance(answer, Waiting):
                yield Wait(ASK_AGAIN_S, f"{step.title}: {answer.note}" if answer.note else step.title, item)
                continue
            course.facts.update(answer.facts)
            results[item.position] = {
                "finding": answer.finding,
                "facts": dict(answer.facts),
                "title": step.title,
            }
            yield Outcome(item, result=results[item.position])

    def finish(self, job: Job) -> dict[str, Any]:
        """Every step's finding, in order."""
        shards = Shard.objects.filter(job=job).order_by("position")
        facts: dict[str, Any] = {}
        for shard in shards:
            facts |= shard.result.get("facts", {})
        return {"findings": [[s.result["title"], s.result["finding"]] for s in shards], "facts": facts}


KINDS = [RunLifecycle]
