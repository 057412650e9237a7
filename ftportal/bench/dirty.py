"""Question and answer rows with planted dirt and the truth about it, of any size, the same each time.

Planted: 5 % exact copies, 3 % near copies (one to four neighbouring words of the answer changed, likeness 0.82 or
more on word 3-grams), 1 % too short, 0.1 % broken lines, eight labels from 45 % to 1 %.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import orjson

LABELS = ("billing", "card", "transfer", "login", "loan", "fraud", "branch", "complaint")
SHARES = (0.45, 0.20, 0.12, 0.08, 0.06, 0.05, 0.03, 0.01)
SYLLABLES = "ba co di fe gu la me ni po ra se ti vo wa xi zo ker lan mon tas rel pin dor ves".split()
LEAST_LIKENESS = 0.82
KEPT_SOURCES = 20_000
BLOCK = 10_000


@dataclass(slots=True)
class Truth:
    """What was planted: (source, copy) row numbers of near and exact copies, numbers of short rows, broken lines."""

    near: list[tuple[int, int]] = field(default_factory=list)
    exact: list[tuple[int, int]] = field(default_factory=list)
    short: list[int] = field(default_factory=list)
    n_broken: int = 0


@dataclass(frozen=True, slots=True)
class _Source:
    number: int
    question: list[str]
    answer: list[str]
    label: str


def _vocabulary(dice: np.random.Generator, size: int) -> list[str]:
    words: dict[str, None] = {}
    while len(words) < size:
        words["".join(dice.choice(SYLLABLES, size=dice.integers(1, 5)))] = None
    return list(words)


def _grams(words: list[str]) -> set[tuple[str, ...]]:
    return set(zip(words, words[1:], words[2:], strict=False))


def likeness(a: list[str], b: list[str]) -> float:
    """Jaccard of two word lists over 3-grams, written apart from the portal's own."""
    first, second = _grams(a), _grams(b)
    return len(first & second) / len(first | second)


def write_dirty(path: Path, rows: int, *, seed: int = 11) -> Truth:
    """Write `rows` lines {"id", "prompt", "completion", "label"} and return what was planted in them."""
    dice = np.random.Generator(np.random.PCG64(seed))
    vocabulary = _vocabulary(dice, 20_000)
    weights = 1 / (np.arange(len(vocabulary)) + 20)
    weights /= weights.sum()
    truth, sources = Truth(), []
    with open(path, "wb") as out:
        for start in range(0, rows, BLOCK):
            n = min(BLOCK, rows - start)
            kinds = dice.random(n)
            lengths = dice.integers(50, 81, n)
            words = dice.choice(len(vocabulary), size=int(lengths.sum()), p=weights).tolist()
            cuts = dice.integers(15, 26, n).tolist()
            labels = dice.choice(len(LABELS), size=n, p=SHARES).tolist()
            picks = dice.random(n).tolist()
            at = 0
            for i in range(n):
                number, kind, length = start + i, kinds[i], int(lengths[i])
                drawn = [vocabulary[w] for w in words[at : at + length]]
                at += length
                if kind < 0.001:
                    truth.n_broken += 1
                    out.write(b'{"id": %d, "prompt": "cut in the mid\n' % number)
                    continue
                fresh = _Source(number, drawn[: cuts[i]], drawn[cuts[i] :], LABELS[labels[i]])
                if kind < 0.011:
                    truth.short.append(number)
                    out.write(_line(number, ["ok"], ["no"], fresh.label))
                    continue
                if kind < 0.091 and sources:
                    source = sources[int(picks[i] * len(sources))]
                    if kind < 0.061:
                        truth.exact.append((source.number, number))
                        out.write(_line(number, source.question, source.answer, source.label))
                    else:
                        truth.near.append((source.number, number))
                        out.write(_line(number, source.question, _nearly(source, drawn), source.label))
                    continue
                if len(sources) < KEPT_SOURCES:
                    sources.append(fresh)
                else:
                    sources[int(picks[i] * KEPT_SOURCES)] = fresh
                out.write(_line(number, fresh.question, fresh.answer, fresh.label))
    return truth


def _nearly(source: _Source, others: list[str]) -> list[str]:
    """The answer with up to four neighbouring words changed, few enough to stay above the likeness."""
    for edits in range(1 + len(others[0]) % 4, 0, -1):
        at = 1 + len(others[1]) * 7 % (len(source.answer) - edits - 1)
        changed = [*source.answer[:at], *others[2 : 2 + edits], *source.answer[at + edits :]]
        if (
            likeness(_whole(source.question, source.answer), _whole(source.question, changed))
            >= LEAST_LIKENESS
        ):
            return changed
    raise AssertionError("one changed word of fifty is always like enough")


def _whole(question: list[str], answer: list[str]) -> list[str]:
    return ["customer:", *question, *answer]


def _line(number: int, question: list[str], answer: list[str], label: str) -> bytes:
    short = len(question) == 1
    row: dict[str, Any] = {
        "id": number,
        "prompt": question[0] if short else f"Customer: {' '.join(question)}?",
        "completion": answer[0] if short else f"{' '.join(answer).capitalize()}.",
        "label": label,
    }
    return orjson.dumps(row) + b"\n"
