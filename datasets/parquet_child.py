"""`python -m datasets.parquet_child PATH ROWS BYTES ALLOWED`: a Parquet file as JSON lines, under limits the system enforces.

A process of its own, because 473 bytes of Parquet can ask for gigabytes. It knows no Django. The first line says
{"columns": [...], "rows": n}; code 3 means that the last line of stderr is a sentence for people.
"""

from __future__ import annotations

import math
import os
import resource
import sys
from pathlib import Path
from typing import Any, NoReturn

from datasets.domain.limits import MAX_COLUMNS

MEMORY_BYTES = 640 * 1024 * 1024  # of addresses; about half of it is ever touched
CPU_S = 900


def refuse(sentence: str) -> NoReturn:
    """End with a sentence."""
    print(" ".join(sentence.split())[:500], file=sys.stderr)
    sys.stdout.flush()
    os._exit(3)


def plain(value: Any) -> Any:
    """What JSON does not know, as text or null. Bytes that are UTF-8 are text."""
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace")
    return str(value)


def without_nan(value: Any) -> Any:
    """Maps as objects, fields without a value left out, NaN as null."""
    if isinstance(value, dict):
        return {k: without_nan(v) for k, v in value.items() if v is not None}
    if isinstance(value, list):
        return [without_nan(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def main(path: str, n_rows: int, n_bytes: int, allowed: int) -> None:
    """Write the rows; stop after `n_rows` or `n_bytes` when they are not 0, refuse more than `allowed` bytes decoded."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S + 5))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    import orjson
    import pyarrow as pa
    import pyarrow.parquet as pq

    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    size = Path(path).stat().st_size
    out = sys.stdout.buffer
    number = decoded = written = 0
    try:
        file = pq.ParquetFile(
            path, memory_map=False, thrift_string_size_limit=20_000_000, thrift_container_size_limit=1_000_000
        )
        columns = file.schema_arrow.names
        if len(columns) > MAX_COLUMNS:
            refuse(f"The file has {len(columns):,} columns; at most {MAX_COLUMNS:,} can be read.")
        if len(set(columns)) != len(columns):
            twice = next(c for c in columns if columns.count(c) > 1)
            refuse(f"The column {twice[:80]!r} stands twice in the file. Rename one of them.")
        out.write(orjson.dumps({"columns": columns, "rows": file.metadata.num_rows}) + b"\n")
        for batch in file.iter_batches(batch_size=64, use_threads=False):
            decoded += batch.nbytes
            # A text that many rows point at counts once in the batch, and each time in the lines.
            if max(decoded, written) > allowed:
                refuse(
                    f"Row {number + 1:,}: the file holds {size:,} bytes and unpacks to more than "
                    f"{allowed // 1024 // 1024:,} MB, which no table of text does. Save it as JSONL and import that."
                )
            for row in batch.to_pylist(maps_as_pydicts="strict"):
                number += 1
                line = orjson.dumps(without_nan(row), default=plain, option=orjson.OPT_NON_STR_KEYS)
                out.write(line + b"\n")
                written += len(line) + 1
                if (n_rows and number >= n_rows) or (n_bytes and written >= n_bytes):
                    out.flush()
                    return
        out.flush()
    except BrokenPipeError:
        os._exit(0)
    except MemoryError:
        refuse(
            f"Row {number + 1:,} needs more memory than one row may. Save the file as JSONL and import that."
        )
    except (pa.ArrowException, OSError, ValueError, TypeError, OverflowError) as error:
        words = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        refuse(
            f"Row {number + 1:,}: the Parquet file is broken ({words}). Write it again, or save it as JSONL."
        )


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
