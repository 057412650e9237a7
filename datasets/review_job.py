"""Planning the review of many rows as a kind of job."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from datasets.models import Dataset
from datasets.services import queueing
from foundation.jobs.kinds import Kind, Outcome, Work
from foundation.jobs.models import Job
from foundation.teams.models import User


class _Stopped(Exception):
    """Somebody cancelled or paused between two steps."""


class PlanReview(Kind):
    """Draws the sample and writes the queue, which shows once it is whole. Stopped or killed, it leaves none."""

    name = queueing.KIND
    title = "Plan a review"
    cancelling = "No queue is made."
    parallel = 1

    def run(self, job: Job, items: Sequence[Any], work: Work) -> Iterator[Outcome]:
        """One item; begun again after a kill it removes what the first try left."""
        recipe = dict(job.recipe)
        dataset = Dataset.objects.select_related("team", "use_case").get(pk=recipe.pop("dataset"))
        people = User.objects.in_bulk(recipe.pop("readers"))

        def beat(step: str) -> None:
            work.progress(0, 1, step)
            if work.cancelled:
                raise _Stopped

        for item in items:
            queueing.forget_unplanned(dataset)
            readers = [people[key] for key in job.recipe["readers"] if key in people]
            try:
                review = queueing.plan_review(
                    actor=job.created_by, dataset=dataset, readers=readers, beat=beat, **recipe
                )
            except _Stopped:
                return
            yield Outcome(item, result={"review": review.pk, "rows": review.n_total})

    def abandoned(self, job: Job) -> None:
        """What was written half-way goes."""
        dataset = Dataset.objects.filter(pk=job.recipe["dataset"]).first()
        if dataset is not None:
            queueing.forget_unplanned(dataset)
