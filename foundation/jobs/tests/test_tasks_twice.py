"""T05: every task of the portal, run twice, leaves what it left when run once. A new task must join the list."""

from __future__ import annotations

import pytest
from celery import current_app
from django.apps import apps
from django.db import connection

from foundation.jobs import services, tasks
from foundation.jobs.chores import Chore, all_chores, register_chores
from foundation.jobs.models import Job, Shard

pytestmark = pytest.mark.django_db

OURS = ("ui", "teams", "files", "jobs", "llm", "decisions", "datasets", "evaluations", "deployments")


def dump() -> dict[str, list[tuple]]:
    """Every row of every table of the portal."""
    found = {}
    for label in OURS:
        for model in apps.get_app_config(label).get_models(include_auto_created=True):
            names = [field.attname for field in model._meta.concrete_fields]
            found[model._meta.label] = list(model._base_manager.order_by("pk").values_list(*names))
    return found


def portal_tasks() -> set[str]:
    """The names of all registered tasks that are not Celery's own."""
    current_app.loader.import_default_modules()
    return {name for name in current_app.tasks if not name.startswith("celery.")}


# What each task is given. A task that is missing here fails the test below: say how it is run twice.
GIVEN = {
    "jobs.tick": lambda job: (),
    "jobs.sweep": lambda job: (),
    "jobs.run_batch": lambda job: (job.pk,),
    "jobs.supervise": lambda job: (job.pk,),
    "jobs.poll": lambda job: (job.pk,),
}


def test_every_task_of_the_portal_is_tried_here():
    assert portal_tasks() == set(GIVEN)


def test_every_task_names_its_queue():
    for name in portal_tasks():
        assert name in current_app.conf.task_routes, f"{name} is missing in foundation.jobs.beat.ROUTES"
        assert current_app.conf.task_routes[name]["queue"] in ("default", "training", "remote")


def test_only_tasks_for_short_work_have_time_limits():
    assert tasks.supervise.time_limit is None
    assert tasks.run_batch.time_limit and tasks.poll.time_limit and tasks.tick.time_limit


@pytest.mark.parametrize("name", sorted(GIVEN))
@pytest.mark.parametrize("state", ["finished", "half done", "cancelled", "paused", "failed"])
def test_a_task_run_twice_leaves_what_it_left_once(name, state, start, editor, log):
    if state == "failed":
        job = start(n=3, plan_error="No.", log=log)
    else:
        job = start(n=30, log=log)
    if state in ("half done", "paused"):
        services.work_on(job.pk, turn_s=0)
    if state == "paused":
        services.pause_job(actor=editor, job=job)
    if state == "cancelled":
        services.cancel_job(actor=editor, job=job)
    if state == "finished":
        assert services.run_until_idle(20)
    task, given = current_app.tasks[name], GIVEN[name](job)
    # The first run may do work; what it left when nothing remains must not change any more.
    task.run(*given)
    task.run(*given)
    once = dump()
    task.run(*given)
    assert dump() == once
    if name in ("jobs.run_batch", "jobs.supervise", "jobs.poll") and state in ("finished", "half done"):
        assert Shard.objects.filter(job=job, state="done", attempts=1).count() == 30
        assert Job.objects.get(pk=job.pk).spent_microusd == 90


def test_every_chore_run_twice_leaves_what_it_left_once():
    for chore in all_chores():
        chore.run()
        once = dump()
        chore.run()
        assert dump() == once, chore.name


def test_two_chores_may_not_share_a_name():
    from django.core.exceptions import ImproperlyConfigured

    register_chores([Chore("test.same", "Same", 60, dump)])
    register_chores([Chore("test.same", "Same", 60, dump)])
    with pytest.raises(ImproperlyConfigured):
        register_chores([Chore("test.same", "Same", 60, portal_tasks)])
    from foundation.jobs import chores

    del chores._chores["test.same"]


def test_the_worker_is_told_what_the_figures_taught():
    conf = current_app.conf
    assert conf.worker_prefetch_multiplier == 1
    assert conf.task_acks_late is False
    assert conf.task_ignore_result is True
    assert conf.accept_content == ["json"]
    assert conf.broker_connection_retry_on_startup is True
    assert conf.timezone == "UTC"
    assert conf.worker_max_tasks_per_child == 500
    options = conf.broker_transport_options
    assert (
        options["socket_timeout"],
        options["socket_connect_timeout"],
        options["health_check_interval"],
    ) == (
        10,
        2,
        15,
    )
    assert list(conf.beat_schedule) == ["jobs.tick"]
    assert connection.vendor in ("sqlite", "postgresql")
