"""Python looks for garbage where nobody waits for it."""

from __future__ import annotations

import gc
from importlib import reload

import pytest
from celery import signals

from foundation.database import garbage
from foundation.jobs import lifesigns


def test_nothing_is_collected_until_the_last_block_ends():
    assert gc.isenabled()
    one, other = garbage.put_off(), garbage.put_off()
    one.__enter__()
    other.__enter__()
    one.__exit__(None, None, None)
    assert not gc.isenabled()
    other.__exit__(None, None, None)
    assert gc.isenabled()


def test_a_fault_inside_leaves_it_as_it_was():
    with pytest.raises(ValueError, match="inside"), garbage.put_off():
        raise ValueError("inside")
    assert gc.isenabled()


def test_where_it_is_off_it_stays_off():
    gc.disable()
    try:
        with garbage.put_off():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


@pytest.mark.parametrize("begins", ["a web process", "a worker's child"])
def test_what_is_loaded_when_a_process_begins_is_not_looked_at_again(begins, monkeypatch):
    import ftportal.asgi

    try:
        if begins == "a web process":
            reload(ftportal.asgi)
        else:
            gc.unfreeze()
            monkeypatch.setattr(lifesigns, "_is_settled", False)
            signals.worker_before_create_process.send(sender=None)
        assert gc.get_freeze_count() > 10_000
        assert len(gc.get_objects(generation=2)) < 1_000
    finally:
        gc.unfreeze()
