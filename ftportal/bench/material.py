"""Rows to measure with: deterministic, of any number, made as fast as they can be written."""

from __future__ import annotations

import csv
import json
import random
from itertools import accumulate
from pathlib import Path

LABELS = ("billing", "delivery", "returns", "account", "technical", "fraud")
SHARES = (30, 25, 20, 12, 10, 3)
_SYLLABLES = "ba co di fe gu la me ni po ra se ti vo wa xi zo ker lan mon tas rel pin dor ves".split()


def write_jsonl(path: Path, rows: int, *, words: int = 22, seed: int = 7) -> int:
    """A JSONL file of `rows` {"text", "label"} rows of about `words` words; returns its size in bytes."""
    dice = random.Random(seed)  # noqa: S311 - material, not secrets
    vocabulary = sorted({"".join(dice.choices(_SYLLABLES, k=dice.randint(1, 4))) for _ in range(12_000)})
    weights = list(accumulate(1 / (rank + 20) for rank in range(len(vocabulary))))
    shares = list(accumulate(SHARES))
    encode = json.JSONEncoder(ensure_ascii=False).encode
    # A pool of words drawn once, walked through at random offsets: a million rows in seconds.
    pool = dice.choices(vocabulary, cum_weights=weights, k=200_000)
    with open(path, "w", encoding="utf-8") as out:
        for number in range(rows):
            start = dice.randrange(len(pool) - 2 * words)
            length = words // 2 + dice.randrange(words)
            text = f"{' '.join(pool[start : start + length])} {number}"
            out.write(encode({"text": text, "label": dice.choices(LABELS, cum_weights=shares)[0]}))
            out.write("\n")
    return path.stat().st_size


def write_csv(path: Path, rows: int, *, seed: int = 7) -> int:
    """The same rows as CSV; returns the size in bytes."""
    source = path.with_suffix(".jsonl")
    write_jsonl(source, rows, seed=seed)
    with open(source, encoding="utf-8") as lines, open(path, "w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(["text", "label"])
        for line in lines:
            row = json.loads(line)
            writer.writerow([row["text"], row["label"]])
    source.unlink()
    return path.stat().st_size
