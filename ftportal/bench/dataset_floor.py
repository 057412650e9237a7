"""The floor of preparing a dataset: orjson, dicts, rensa and numpy in one process, no database, no job, no person.

Started as a process of its own, so that its memory and CPU are its own: `python dataset_floor.py DATA OUT`.
"""

from __future__ import annotations

import hashlib
import json
import resource
import sys
import time
from pathlib import Path

import numpy as np
import orjson
from rensa import RMinHash, RMinHashLSH

PERM, BANDS, SEED, THRESHOLD = 128, 32, 42, 0.8


class Watch:
    """Seconds of wall and CPU since the last stage."""

    def __init__(self) -> None:
        self.stages: dict[str, float] = {}
        self.started = self.last = time.perf_counter()

    def stage(self, name: str) -> None:
        now = time.perf_counter()
        self.stages[name], self.last = round(now - self.last, 3), now


def main(data: str, out: str) -> None:
    """Print the seconds of every stage, all of them, the peak memory and the rows kept, as JSON."""
    watch = Watch()
    rows, seen, broken = [], set(), 0
    with open(data, "rb") as lines:
        for line in lines:
            try:
                row = orjson.loads(line)
                prompt, completion = " ".join(row["prompt"].split()), " ".join(row["completion"].split())
            except (orjson.JSONDecodeError, KeyError):
                broken += 1
                continue
            if len(prompt) < 8 or len(completion) < 3:
                continue
            key = hashlib.blake2b(f"{prompt}\0{completion}".encode(), digest_size=16).digest()
            if key not in seen:
                seen.add(key)
                rows.append((prompt, completion, row["label"]))
    watch.stage("import, clean, exact")

    # Words become numbers once, shingles are sums of three of them.
    numbers: dict[str, int] = {}
    words: list[int] = []
    lengths = np.empty(len(rows), np.int64)
    for i, (prompt, completion, _) in enumerate(rows):
        parts = f"{prompt} {completion}".lower().split()
        lengths[i] = len(parts)
        words.extend([numbers.setdefault(word, len(numbers)) for word in parts])
    hashes = (np.array(words, np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    del words
    with np.errstate(over="ignore"):
        grams = hashes[:-2] * np.uint64(0xC2B2AE3D27D4EB4F) + (
            hashes[1:-1] ^ hashes[2:] * np.uint64(0x165667B19E3779F9)
        )
    ends = np.cumsum(lengths)
    keep = np.ones(len(grams), bool)
    for back in (1, 2):
        at = ends[:-1] - back
        keep[at[at < len(grams)]] = False
    grams = grams[keep]
    offsets = np.concatenate(([0], np.cumsum(np.maximum(lengths - 2, 0)))).astype(np.uint64)
    matrix = RMinHash.digest_matrix_from_flat_token_hashes(grams, offsets, PERM, SEED)
    watch.stage("minhash")
    flags = np.array(RMinHashLSH(THRESHOLD, PERM, BANDS).insert_matrix_and_query_duplicate_flags(matrix))
    suspects = np.flatnonzero(flags)
    del matrix
    parts = [grams[offsets[i] : offsets[i + 1]] for i in suspects]
    starts = np.concatenate(([0], np.cumsum([len(part) for part in parts]))).astype(np.uint64)
    small = RMinHash.digest_matrix_from_flat_token_hashes(np.concatenate(parts), starts, PERM, SEED).to_rows()
    digests = np.array(small, dtype=np.uint32).reshape(len(suspects), BANDS, PERM // BANDS)
    sets = [np.unique(part) for part in parts]
    parent = list(range(len(suspects)))

    def find(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for band in range(BANDS):
        buckets: dict[bytes, int] = {}
        for i in range(len(suspects)):
            head = buckets.setdefault(digests[i, band].tobytes(), i)
            if find(head) != find(i):
                same = len(np.intersect1d(sets[head], sets[i], assume_unique=True))
                if same / (len(sets[head]) + len(sets[i]) - same) >= THRESHOLD:
                    parent[max(find(head), find(i))] = min(find(head), find(i))
    gone = {int(suspects[i]) for i in range(len(suspects)) if find(i) != i}
    watch.stage("near")

    by_label: dict[str, list[int]] = {}
    for i in np.random.Generator(np.random.PCG64(SEED)).permutation(len(rows)).tolist():
        if i not in gone:
            by_label.setdefault(rows[i][2], []).append(i)
    for name, low, high in (("train", 0.0, 0.8), ("validation", 0.8, 0.9), ("test", 0.9, 1.0)):
        with open(Path(out) / f"{name}.jsonl", "wb") as file:
            for members in by_label.values():
                for i in members[int(len(members) * low) : int(len(members) * high)]:
                    prompt, completion, label = rows[i]
                    file.write(
                        orjson.dumps({"prompt": prompt, "completion": completion, "label": label}) + b"\n"
                    )
    watch.stage("split, export")
    usage = resource.getrusage(resource.RUSAGE_SELF)
    figures = {
        "stages": watch.stages,
        "seconds": watch.last - watch.started,
        "cpu_s": usage.ru_utime + usage.ru_stime,
        "peak_mb": usage.ru_maxrss * 1024 / 1e6,
        "rows": len(rows) - len(gone),
        "broken": broken,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main(*sys.argv[1:])
