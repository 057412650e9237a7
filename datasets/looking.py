"""What rows show one by one, many of them at once, and what comparing them needs. Asks no other row, writes nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from datasets.active import Loaded, near_text, with_what_came_before
from datasets.domain import quality
from datasets.domain.cleaning import length_words, limits_for
from datasets.domain.duplicates import Signed, sign
from datasets.domain.encoding import has_debris, hidden, is_lost, repair
from datasets.domain.endings import may_refuse
from datasets.domain.hashing import keys_of, word_hashes
from datasets.domain.language import languages_of
from datasets.domain.packing import pack, unpack
from datasets.domain.pii import KINDS, find_pii, may_hold_pii
from datasets.domain.rewriting import texts_beside
from datasets.domain.tokens import WORTH_COUNTING_CHARS
from datasets.text_checks import PROSE, TextChecks

# Texts are turned into numbers this many characters at a time: rows of a page each must not cost a gigabyte.
CHARS_AT_ONCE = 4_000_000


@dataclass(slots=True)
class Row:
    """One example in a finding: its cluster, whether it is the one to keep, and a few words."""

    example_id: int
    cluster: int = 0
    keep: bool = False
    note: str = ""
    suggestion: str = ""
    # The text it was judged by, where that was done before the report.
    content_id: int | None = None


@dataclass(slots=True)
class Part:
    """What was seen of some rows: a worker looks at a part, whoever draws the report joins the parts.

    Columns are as long as `ids`. `exact` is the beginning of the digest: 64 bits of sha256 keep a million rows apart.
    """

    ids: np.ndarray
    content_ids: np.ndarray
    exact: np.ndarray
    prompt_keys: np.ndarray
    answer_keys: np.ndarray
    label_codes: np.ndarray
    reviewed: np.ndarray
    n_prompt: np.ndarray
    n_completion: np.ndarray
    signed: Signed
    label_names: list[str]
    flagged: dict[str, list[Row]]
    pii_kinds: dict[str, int]
    # What the checks of single texts saw (text_checks.py).
    texts: dict[str, Any]

    def as_bytes(self) -> bytes:
        """Packed, for the way to another worker."""
        facts = {
            "label_names": self.label_names,
            "flagged": {
                rule: [[row.example_id, row.note] for row in rows] for rule, rows in self.flagged.items()
            },
            "pii_kinds": self.pii_kinds,
            "texts": self.texts,
        }
        columns = {name: getattr(self, name) for name in COLUMNS}
        columns |= {name: getattr(self.signed, name) for name in _SIGNED}
        return pack(facts, columns)

    @classmethod
    def from_bytes(cls, data: bytes | memoryview) -> Part:
        """The part that `as_bytes` packed."""
        facts, columns = unpack(data)
        signed = Signed(len(columns["ids"]), *(columns[name] for name in _SIGNED))
        flagged = {
            rule: [Row(key, note=note) for key, note in rows] for rule, rows in facts["flagged"].items()
        }
        own: dict[str, Any] = {name: columns[name] for name in COLUMNS}
        return cls(
            **own,
            signed=signed,
            flagged=flagged,
            **{name: facts[name] for name in ("label_names", "pii_kinds", "texts")},
        )


# What is kept of every row, by name.
COLUMNS = (
    "ids",
    "content_ids",
    "exact",
    "prompt_keys",
    "answer_keys",
    "label_codes",
    "reviewed",
    "n_prompt",
    "n_completion",
)
_SIGNED = ("char_at", "char_keys", "word_at", "word_keys")


@dataclass(slots=True)
class _Seen:
    """What many rows at once show: lists and columns in the order of the rows."""

    wholes: list[str]
    languages: list[str]
    answer_languages: list[str]
    may_refuse: list[bool]
    may_be_personal: list[bool]
    speaks: list[bool]
    prompt_keys: np.ndarray
    answer_keys: np.ndarray
    signed: Signed


def _see(rows: list[Loaded], task_kind: str) -> _Seen:
    prompts, completions = [row.prompt for row in rows], [row.completion for row in rows]
    pairs = [f"{prompt}\n{completion}" for prompt, completion in zip(prompts, completions, strict=True)]
    wholes = [
        f"{row.system}\n{row.turns}\n{pair}" if row.system or row.turns else pair
        for row, pair in zip(rows, pairs, strict=True)
    ]
    asked, answered = word_hashes(prompts, loosely=True), word_hashes(completions, loosely=True)
    is_prose = task_kind in PROSE
    may_speak = quality.may_be_suspicious(asked) | quality.may_be_suspicious(answered)
    return _Seen(
        wholes=wholes,
        languages=languages_of(prompts, asked),
        answer_languages=languages_of(completions, answered) if is_prose else [""] * len(rows),
        may_refuse=may_refuse(answered).tolist(),
        may_be_personal=may_hold_pii(wholes).tolist(),
        speaks=[
            speaks or (bool(row.system or row.turns) and quality.speaks_before(row.system, row.turns))
            for row, speaks in zip(rows, quality.are_suspicious(pairs, may_speak), strict=True)
        ],
        prompt_keys=with_what_came_before(rows, keys_of(asked)),
        answer_keys=keys_of(answered),
        signed=sign([near_text(task_kind, row.prompt, row.completion) for row in rows]),
    )


def _slices(block: list[Loaded]) -> Iterator[list[Loaded]]:
    """The rows in order, CHARS_AT_ONCE or one row at a time."""
    part: list[Loaded] = []
    n_chars = 0
    for row in block:
        size = len(row.system) + len(row.turns) + len(row.prompt) + len(row.completion) + len(row.extra)
        if part and n_chars + size > CHARS_AT_ONCE:
            yield part
            part, n_chars = [], 0
        part.append(row)
        n_chars += size
    yield part


def look(block: list[Loaded], *, task_kind: str, labels: frozenset[str]) -> Part:
    """Everything that can be said about rows one by one, and what comparing them needs."""
    flagged: dict[str, list[Row]] = {}
    pii_kinds: Counter[str] = Counter()
    texts = TextChecks(task_kind)
    prompt_keys, answer_keys, signed = [], [], []
    for rows in _slices(block):
        seen = _see(rows, task_kind)
        _flag(rows, seen, task_kind, labels, flagged, pii_kinds)
        for at, row in enumerate(rows):
            texts.look(
                row.id,
                row.completion,
                language=seen.languages[at],
                answered=seen.answer_languages[at],
                may_refuse=seen.may_refuse[at],
            )
            if len(seen.wholes[at]) > WORTH_COUNTING_CHARS:
                texts.look_at_length(row.id, row.system, row.turns, row.prompt, row.completion)
        prompt_keys.append(seen.prompt_keys)
        answer_keys.append(seen.answer_keys)
        signed.append(seen.signed)
    codes: dict[str, int] = {}
    return Part(
        ids=np.array([row.id for row in block], np.int64),
        content_ids=np.array([row.content_id for row in block], np.int64),
        exact=np.array([int.from_bytes(row.digest[:8], "little") for row in block], np.uint64),
        prompt_keys=np.concatenate(prompt_keys),
        answer_keys=np.concatenate(answer_keys),
        label_codes=np.array([codes.setdefault(row.label, len(codes)) for row in block], np.int32),
        reviewed=np.array([bool(row.review) for row in block], bool),
        n_prompt=np.array([len(row.prompt) for row in block], np.int32),
        n_completion=np.array([len(row.completion) for row in block], np.int32),
        signed=Signed.joined(signed),
        label_names=list(codes),
        flagged=flagged,
        pii_kinds=dict(pii_kinds),
        texts=texts.as_json(),
    )


def _flag(
    rows: list[Loaded],
    seen: _Seen,
    task_kind: str,
    labels: frozenset[str],
    flagged: dict[str, list[Row]],
    pii_kinds: Counter[str],
) -> None:
    """Add the rows that a rule of single rows finds to `flagged`, and the kinds of personal data in them."""
    limits = limits_for(task_kind)
    is_labelled = task_kind == "classify"

    def flag(rule: str, row: Loaded, note: str = "") -> None:
        flagged.setdefault(rule, []).append(Row(row.id, note=note))

    for at, row in enumerate(rows):
        completion, whole = row.completion, seen.wholes[at]
        if problem := length_words(len(row.prompt), len(completion), limits):
            rule = "too_short" if problem.startswith("too short") else "too_long"
            flag(rule, row, problem.split(": ", 1)[1])
        if (seen.may_be_personal[at] or row.extra) and (kinds := _personal(whole, row.extra)):
            pii_kinds.update({kind for kind, _ in kinds})
            note = ", ".join(
                f"{n} × {KINDS[kind]} {where}".rstrip() for (kind, where), n in kinds.most_common()
            )
            flag("pii", row, note)
        if not whole.isascii() and has_debris(whole):
            if is_lost(whole):
                flag("lost_characters", row)
            elif repair(whole) != whole:
                flag("encoding", row)
        if unseen := hidden(whole):
            flag("hidden_characters", row, unseen)
        if not is_labelled and quality.is_degenerate(completion):
            flag("empty_answer", row)
        if seen.speaks[at]:
            flag("speaks_to_judge", row)
        if task_kind == "extract":
            try:
                orjson.loads(completion)
            except orjson.JSONDecodeError as error:
                flag("not_json", row, str(error)[:200])
        if is_labelled and labels and row.label not in labels:
            flag("unknown_label", row, f"label “{row.label[:80]}”")


def _personal(whole: str, extra: str) -> Counter[tuple[str, str]]:
    """How many finds there are of each kind in the texts of a row, (kind, ""), and beside them, (kind, where).

    Calls of tools and their results are among the texts already: beside them counts only what is new there.
    """
    matches = find_pii(whole)
    found = Counter((match.kind, "") for match in matches)
    known = {whole[match.start : match.end] for match in matches}
    for where, text in texts_beside(extra):
        for match in find_pii(text):
            if (value := text[match.start : match.end]) not in known:
                known.add(value)
                found[match.kind, where] += 1
    return found
