"""Celery's doors into long work: an id in, one call. Acknowledged early; what is lost is found by the database."""

from __future__ import annotations

from celery import shared_task

from foundation.jobs import claiming, clock, lifesigns, services

# How long one task stays with one job before others get their turn.
TURN_S = 20.0

# Connected by being imported: a worker and a beat show themselves from their first second.
SIGNS_OF_LIFE = (lifesigns.worker_lives, lifesigns.beat_lives)


@shared_task(name="jobs.tick", soft_time_limit=60, time_limit=90)
def tick() -> None:
    """The clock struck: sweep, start what is due, ring for what waits."""
    clock.tick()


@shared_task(name="jobs.sweep", soft_time_limit=60, time_limit=90)
def sweep() -> None:
    """Free the leases of the lost."""
    claiming.sweep()


@shared_task(name="jobs.run_batch", soft_time_limit=900, time_limit=960)
def run_batch(job_id: int) -> None:
    """Work on a job for a turn: plan, batches, finish, clean up."""
    services.work_on(job_id, turn_s=TURN_S)


@shared_task(name="jobs.supervise")
def supervise(job_id: int) -> None:
    """Work on a job whose items are long child processes. No time limit: the heartbeat says whether it lives."""
    services.work_on(job_id, turn_s=TURN_S)


@shared_task(name="jobs.poll", soft_time_limit=300, time_limit=330)
def poll(job_id: int) -> None:
    """Ask how remote work stands."""
    services.work_on(job_id, turn_s=TURN_S)
