"""Columns of numbers as bytes and back: what one worker hands to another. A plain layout, never a pickle."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson

_KINDS = frozenset({"<i8", "<u8", "<i4", "<u4", "|u1", "|b1"})


def pack(facts: Mapping[str, Any], columns: Mapping[str, np.ndarray]) -> bytes:
    """Facts as JSON, then the columns end to end, little-endian."""
    layout, parts = [], []
    for name, column in columns.items():
        column = np.ascontiguousarray(column)
        column = column.astype(column.dtype.newbyteorder("<"), copy=False)
        if column.dtype.str not in _KINDS:
            raise TypeError(f"a column of {column.dtype} cannot be packed")
        layout.append([name, column.dtype.str, list(column.shape)])
        parts.append(column.tobytes())
    head = orjson.dumps({"facts": facts, "layout": layout})
    return b"".join((len(head).to_bytes(4, "little"), head, *parts))


def unpack(data: bytes | memoryview) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """(facts, columns) as they were packed; the columns are read-only views of the bytes. Raises ValueError."""
    data = bytes(data)
    size = int.from_bytes(data[:4], "little")
    head = orjson.loads(data[4 : 4 + size])
    at, columns = 4 + size, {}
    for name, kind, shape in head["layout"]:
        if kind not in _KINDS:
            raise ValueError(f"unknown kind of column: {kind}")
        n = int(np.prod(shape, dtype=np.int64))
        columns[name] = np.frombuffer(data, kind, n, at).reshape(shape)
        at += columns[name].nbytes
    return head["facts"], columns
