"""What is remembered of sign-ins is remembered for every process, and its absence keeps nobody out."""

from __future__ import annotations

import pytest
from django.core.cache import cache, caches
from django.core.cache.backends.db import DatabaseCache

from foundation.teams.caching import OpenRedisCache


@pytest.mark.django_db
def test_two_processes_count_the_same_failed_sign_ins():
    """Each process that had a memory of its own let as many tries through again: the limits stand in the database."""
    assert isinstance(caches["default"], DatabaseCache)
    cache.set("allauth:rl:login_failed", [1.0, 2.0], 300)
    other = DatabaseCache(cache._table, {})
    assert other.get("allauth:rl:login_failed") == [1.0, 2.0]
    assert other.add("allauth:rl:login_failed", "mine", 300) is False


def test_a_redis_that_is_away_keeps_nobody_out():
    away = OpenRedisCache("redis://127.0.0.1:9/0", {"OPTIONS": {"socket_connect_timeout": 0.2}})
    away.set("a", 1)
    assert away.get("a", "none") == "none" and away.add("a", 1) is True and away.incr("a") == 1
    assert away.get_many(["a"]) == {} and away.has_key("a") is False and away.delete("a") is False
