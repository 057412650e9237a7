"""Kinds of work for tests: in process, and in real workers that are killed. Effects are counted as rows."""

from __future__ import annotations

import asyncio
import os
import signal
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from django.utils import timezone

from foundation.jobs.concurrent import answers
from foundation.jobs.domain.states import ItemState, JobState
from foundation.jobs.kinds import Kind, Outcome, Plan, RemoteKind, SubprocessKind, Wait, register_kinds
from foundation.jobs.models import Job, Shard
from foundation.teams.errors import PortalError


def note(job: Job, word: str, what: object) -> None:
    """Append a line to the file the recipe names: what really happened, whatever the database says."""
    path = job.recipe.get("log")
    if path:
        fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(fd, f"{word} {what} {time.time():.3f} {os.getpid()}\n".encode())
        os.close(fd)


def noted(path: str | Path, word: str) -> list[str]:
    """What was noted under `word`, in order."""
    path = Path(path)
    if not path.exists():
        return []
    return [line.split()[1] for line in path.read_text().splitlines() if line.startswith(f"{word} ")]


def ledger(job: Job) -> Job:
    """A settled job whose shards stand for effects outside the items: one row an effect, nothing forbids two."""
    return Job.objects.get(pk=job.recipe["ledger"])


def new_ledger(team: Any) -> Job:
    """An empty ledger."""
    return Job.objects.create(
        team=team, kind="test.ledger", title="ledger", state=JobState.SUCCEEDED, settled_at=timezone.now()
    )


class Squares(Kind):
    """Squares numbers. The recipe says how many, how slowly, and what goes wrong where."""

    name = "test.squares"
    title = "Squares"
    batch_size = 10

    def plan(self, job: Job, cursor: int) -> Plan:
        n, chunk = job.recipe["n"], job.recipe.get("chunk", 40)
        if job.recipe.get("plan_error"):
            raise PortalError(job.recipe["plan_error"])
        if job.recipe.get("plan_crash"):
            raise RuntimeError(job.recipe["plan_crash"])
        end = min(n, cursor + chunk)
        items = [Shard(key=str(i), payload={"n": i}) for i in range(cursor, end)]
        return Plan(items, end if end < n else None)

    def run(self, job: Job, items: Sequence[Any], work: Any) -> Iterator[Outcome]:
        recipe = job.recipe
        for item in items:
            n = item.payload["n"]
            note(job, "ran", n)
            if n in recipe.get("kill", []):
                os.kill(os.getpid(), signal.SIGKILL)
            if n in recipe.get("crash", []):
                raise RuntimeError(f"number {n} is cursed")
            if n in recipe.get("refuse", []):
                raise PortalError(f"Number {n} may not be squared.")
            if recipe.get("pause_s"):
                time.sleep(recipe["pause_s"])
            if n in recipe.get("fail", []):
                yield Outcome.failure(item, f"{n} is unlucky", cost_microusd=1)
            elif n in recipe.get("skip", []):
                yield Outcome.skip(item, "not needed")
            else:
                yield Outcome(item, result={"square": n * n}, cost_microusd=3)

    def store(self, job: Job, outcomes: Sequence[Outcome]) -> None:
        if "ledger" in job.recipe:
            Shard.objects.bulk_create(
                Shard(
                    job_id=job.recipe["ledger"],
                    position=uuid.uuid4().int % 2**31,
                    key=outcome.item.key,
                    state=ItemState.DONE,
                )
                for outcome in outcomes
                if outcome.state is ItemState.DONE
            )

    def finish(self, job: Job) -> dict[str, Any]:
        if job.recipe.get("finish_error"):
            raise PortalError(job.recipe["finish_error"])
        done = Shard.objects.filter(job=job, state=ItemState.DONE)
        return {"sum": sum(shard.result["square"] for shard in done)}

    def abandoned(self, job: Job) -> None:
        note(job, "abandoned", job.pk)


class AllSquares(Squares):
    """Squares numbers, all of them or none."""

    name = "test.all_squares"
    all_or_nothing = True


class Calls(Squares):
    """Squares by calls that take a while, eight at a time."""

    name = "test.calls"

    def run(self, job: Job, items: Sequence[Any], work: Any) -> Iterator[Outcome]:
        async def call(item: Shard) -> int:
            note(job, "call", item.payload["n"])
            await asyncio.sleep(job.recipe.get("pause_s", 0.01))
            if item.payload["n"] in job.recipe.get("fail", []):
                raise ValueError("no answer")
            return int(item.payload["n"]) ** 2

        for item, answer in answers(items, call, limit=8):
            if isinstance(answer, BaseException):
                yield Outcome.failure(item, str(answer))
            else:
                yield Outcome(item, result={"square": answer}, cost_microusd=3)


class Counting(SubprocessKind):
    """A child that counts."""

    name = "test.counting"
    title = "Counting"
    grace_s = 2.0

    def command(self, job: Job, item: Any) -> list[str]:
        recipe = job.recipe
        return [
            "foundation.jobs.tests.counting_child",
            str(recipe.get("to", 5)),
            str(recipe.get("pause_s", 0.01)),
            recipe.get("end", "well"),
            recipe.get("log", ""),
        ]


class Parcel(RemoteKind):
    """Remote work that is ready at the third asking."""

    name = "test.parcel"
    title = "Parcel"

    def poll(self, job: Job, item: Any) -> Outcome | Wait:
        note(job, "poll", item.pk)
        if len(noted(job.recipe["log"], "poll")) < 3:
            return Wait(0.05, "on its way")
        return Outcome(item, result={"arrived": True})


class Whole(Kind):
    """Starts further work while it runs, and waits for it as long as the recipe says."""

    name = "test.whole"
    title = "Whole"

    def plan(self, job: Job, cursor: int) -> Plan:
        return Plan([Shard(key="only")])

    def run(self, job: Job, items: Sequence[Any], work: Any) -> Iterator[Outcome | Wait]:
        from foundation.jobs import services

        for item in items:
            part = services.start_job(
                actor=job.created_by,
                team=job.team,
                kind="test.squares",
                title="A part",
                recipe=job.recipe["part"],
                dedupe_key=f"part of {job.pk}",
            )
            if part.is_finished or not job.recipe.get("wait"):
                yield Outcome(item)
            else:
                yield Wait(30, "waiting for its part", item)


def register() -> None:
    """Make these kinds known; called by the app in a worker that tests start."""
    register_kinds([Squares, AllSquares, Calls, Counting, Parcel, Whole])
