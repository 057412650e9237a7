"""The cache on Redis, failing open: while Redis is away nothing is remembered, and nobody is kept from signing in."""

from __future__ import annotations

import logging
from typing import Any

from django.core.cache.backends.redis import RedisCache
from redis.exceptions import RedisError

log = logging.getLogger(__name__)


class OpenRedisCache(RedisCache):
    """Django's Redis cache; each call that Redis does not answer gives what an empty cache gives."""

    def _open(self, name: str, empty: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return getattr(super(), name)(*args, **kwargs)
        except (RedisError, OSError) as error:
            log.warning("The cache is away (%s); limits of sign-in are not counted.", type(error).__name__)
            return empty

    def get(self, key: Any, default: Any = None, version: int | None = None) -> Any:
        return self._open("get", default, key, default, version)

    def set(self, *args: Any, **kwargs: Any) -> None:
        self._open("set", None, *args, **kwargs)

    def add(self, *args: Any, **kwargs: Any) -> bool:
        return self._open("add", True, *args, **kwargs)

    def touch(self, *args: Any, **kwargs: Any) -> bool:
        return self._open("touch", False, *args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> bool:
        return self._open("delete", False, *args, **kwargs)

    def get_many(self, *args: Any, **kwargs: Any) -> dict[Any, Any]:
        return self._open("get_many", {}, *args, **kwargs)

    def set_many(self, *args: Any, **kwargs: Any) -> list[Any]:
        return self._open("set_many", [], *args, **kwargs)

    def delete_many(self, *args: Any, **kwargs: Any) -> None:
        self._open("delete_many", None, *args, **kwargs)

    def has_key(self, *args: Any, **kwargs: Any) -> bool:
        return self._open("has_key", False, *args, **kwargs)

    def incr(self, key: Any, delta: int = 1, version: int | None = None) -> int:
        return self._open("incr", delta, key, delta, version)

    def clear(self) -> Any:
        return self._open("clear", False)
