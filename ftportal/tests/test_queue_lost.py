"""What Celery does with a queue that dies in the middle of a poll: with the real server and Celery's own calls."""

from __future__ import annotations

import contextlib
from pathlib import Path

from celery import signals
from kombu import Consumer
from kombu import Queue as Name

from foundation.jobs.tests.machinery import Queue
from ftportal.celery import app


def test_a_queue_that_dies_while_doorbells_are_held_leaves_a_connection_that_can_be_closed(tmp_path: Path):
    """A worker that cannot close it ends as "unrecoverable", and takes what its children work on along."""
    signals.worker_init.send(sender=None)
    server = Queue(tmp_path)
    server.start()
    try:
        with app.connection(server.url) as ringing:
            ringing.Producer().publish({"ring": 1}, routing_key="rings", declare=[Name("rings")])
        connection, held = app.connection(server.url), []
        first, second = connection.default_channel, connection.channel()
        Consumer(first, [Name("rings")], callbacks=[lambda _body, message: held.append(message)]).consume()
        Consumer(second, [Name("words")], callbacks=[lambda *_: None]).consume()
        while not held:
            connection.drain_events(timeout=5)
        with contextlib.suppress(TimeoutError):
            connection.drain_events(timeout=0.1)
        server.kill()
        # The two calls of a worker whose connection broke, in their order.
        connection.collect(socket_timeout=1)
        connection.close()
    finally:
        server.stop()
