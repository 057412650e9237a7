"""What Celery's signals leave behind: who is seen, from when on, with which queues."""

from __future__ import annotations

from types import SimpleNamespace as Thing

import pytest

from foundation.jobs import lifesigns
from foundation.jobs.models import WorkerSeen


@pytest.mark.django_db
def test_a_worker_is_seen_with_its_queues_once_it_is_ready_and_not_before(monkeypatch):
    """Celery's heart beats once before the worker takes work, which hid its queues for as long as a sign lasts."""
    monkeypatch.setattr(lifesigns, "_quietly", lambda act: act())  # which would close this test's connection
    monkeypatch.setattr(lifesigns, "_queues", {})
    monkeypatch.setattr(lifesigns, "_last_seen", {})
    heart = Thing(eventer=Thing(hostname="w@host"))
    lifesigns.worker_lives(sender=heart)
    assert not WorkerSeen.objects.exists()
    queues = [Thing(name="training"), Thing(name="default")]
    lifesigns.worker_is_ready(sender=Thing(hostname="w@host", task_consumer=Thing(queues=queues)))
    lifesigns.worker_lives(sender=heart)
    assert [(row.name, row.queues) for row in WorkerSeen.objects.all()] == [("w@host", "default, training")]
