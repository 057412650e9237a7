"""All checks over the active rows of a dataset: reads them once, hands back findings. Writes nothing.

Texts pass by in blocks; what stays in memory are digests, keys and lengths.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, NamedTuple

import orjson

from datasets.domain import quality
from datasets.domain.cleaning import length_words, limits_for, loose
from datasets.domain.conflicts import find_conflicts
from datasets.domain.duplicates import NearDuplicates, groups_from, groups_of
from datasets.domain.encoding import has_debris, is_lost, repair
from datasets.domain.pii import KINDS, find_pii
from datasets.domain.rules import OUT_OF_BALANCE, RULES, THIN
from datasets.domain.stats import imbalance, stats
from datasets.models import Content, Dataset, Example
from datasets.text_checks import TextChecks

BLOCK = 4000


class Loaded(NamedTuple):
    """One active row with its text."""

    id: int
    label: str
    group: str
    at: Any
    review: str
    content_id: int
    digest: bytes
    system: str
    turns: str
    prompt: str
    completion: str


def active_rows(dataset: Dataset) -> Iterator[list[Loaded]]:
    """Active rows in blocks, oldest first. No cursor stays open between blocks."""
    last = 0
    rows = Example.objects.filter(dataset=dataset).active().order_by("id")
    while True:
        block = [
            Loaded(*row[:6], bytes(row[6]), *row[7:])  # type: ignore[call-arg]
            for row in rows.filter(id__gt=last).values_list(
                "id",
                "label",
                "group",
                "at",
                "review",
                "content_id",
                "content__digest",
                "content__system",
                "content__turns",
                "content__prompt",
                "content__completion",
            )[:BLOCK]
        ]
        if not block:
            return
        yield block
        last = block[-1].id


def near_text(task_kind: str, prompt: str, completion: str) -> str:
    """What likeness is measured on: the question of a classification (its answer is a label), else the whole row."""
    return prompt if task_kind == "classify" else f"{prompt} {completion}"


def texts_of(content_ids: list[int], task_kind: str) -> list[str]:
    """The texts of some contents, in the order asked for."""
    found: dict[int, str] = {}
    for start in range(0, len(content_ids), 5000):
        part = content_ids[start : start + 5000]
        for key, prompt, completion in Content.objects.filter(pk__in=part).values_list(
            "id", "prompt", "completion"
        ):
            found[key] = near_text(task_kind, prompt, completion)
    return [found.get(key, "") for key in content_ids]


def key_of(*texts: str) -> bytes:
    """A short key of texts compared loosely: 8 bytes."""
    return hashlib.blake2b("\0".join(loose(text) for text in texts).encode(), digest_size=8).digest()


@dataclass(slots=True)
class Row:
    """One example in a finding: its cluster, whether it is the one to keep, and a few words."""

    example_id: int
    cluster: int = 0
    keep: bool = False
    note: str = ""


@dataclass(slots=True)
class Found:
    """One finding before it is written."""

    rule: str
    headline: str
    rows: list[Row] = field(default_factory=list)
    n_fixable: int = 0
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Report:
    """What all checks say: findings in the order of the rules, and statistics."""

    n_rows: int
    findings: list[Found]
    stats: dict[str, Any]


def _plural(n: int, one: str, many: str) -> str:
    return f"1 {one}" if n == 1 else f"{n:,} {many}"


class Checker:
    """Goes over the rows once and then says what it found."""

    def __init__(self, task_kind: str, labels: tuple[str, ...], n_expected: int) -> None:
        self.task_kind, self.known_labels, self.n_expected = task_kind, frozenset(labels), n_expected
        self.limits = limits_for(task_kind)
        self.ids: list[int] = []
        self.content_ids: list[int] = []
        self.digests: list[bytes] = []
        self.whole_keys: list[bytes] = []
        self.prompt_keys: list[bytes] = []
        self.answer_keys: list[bytes] = []
        self.labels: list[str] = []
        self.reviewed: list[bool] = []
        self.n_prompt: list[int] = []
        self.n_completion: list[int] = []
        self.near = NearDuplicates()
        self.flagged: dict[str, list[Row]] = {key: [] for key in RULES}
        self.pii_kinds: Counter[str] = Counter()
        self.texts = TextChecks(task_kind)

    def add(self, block: list[Loaded]) -> None:
        """Look at the next rows."""
        flagged, limits, look = self.flagged, self.limits, self.texts.look
        is_labelled = self.task_kind == "classify"
        for row in block:
            prompt, completion = row.prompt, row.completion
            self.ids.append(row.id)
            self.content_ids.append(row.content_id)
            self.digests.append(row.digest)
            prompt_key = key_of(row.system, row.turns, prompt)
            answer_key = key_of(completion)
            self.prompt_keys.append(prompt_key)
            self.answer_keys.append(answer_key)
            self.whole_keys.append(prompt_key + answer_key)
            self.labels.append(row.label)
            self.reviewed.append(bool(row.review))
            self.n_prompt.append(len(prompt))
            self.n_completion.append(len(completion))
            if problem := length_words(len(prompt), len(completion), limits):
                flagged["too_short" if problem.startswith("too short") else "too_long"].append(
                    Row(row.id, note=problem.split(": ", 1)[1])
                )
            whole = (
                f"{row.system}\n{row.turns}\n{prompt}\n{completion}"
                if row.system or row.turns
                else f"{prompt}\n{completion}"
            )
            if kinds := Counter(match.kind for match in find_pii(whole)):
                self.pii_kinds.update(kinds.keys())
                words = ", ".join(f"{n} × {KINDS[kind]}" for kind, n in kinds.most_common())
                flagged["pii"].append(Row(row.id, note=words))
            if not whole.isascii() and has_debris(whole):
                if is_lost(whole):
                    flagged["lost_characters"].append(Row(row.id))
                elif repair(whole) != whole:
                    flagged["encoding"].append(Row(row.id))
            if not is_labelled and quality.is_degenerate(completion):
                flagged["empty_answer"].append(Row(row.id))
            look(row.id, row.system, row.turns, prompt, completion)
            if quality.is_suspicious(prompt, completion):
                flagged["speaks_to_judge"].append(Row(row.id))
            if self.task_kind == "extract":
                try:
                    orjson.loads(completion)
                except orjson.JSONDecodeError as error:
                    flagged["not_json"].append(Row(row.id, note=str(error)[:200]))
            if is_labelled and self.known_labels and row.label not in self.known_labels:
                flagged["unknown_label"].append(Row(row.id, note=f"label “{row.label[:80]}”"))
        self.near.add([near_text(self.task_kind, row.prompt, row.completion) for row in block])

    def _keeper(self, members: list[int]) -> int:
        return min(
            members,
            key=lambda i: (not self.reviewed[i], -self.n_prompt[i] - self.n_completion[i], self.ids[i]),
        )

    def report(self, *, beat: Callable[[], None] = lambda: None) -> Report:
        """The findings, in the order of the rules."""
        found: dict[str, Found] = {}
        exact = groups_of(self.digests)
        found["exact_duplicate"] = self._duplicates("exact_duplicate", exact)
        spare = {i for group in exact for i in group if i != self._keeper(group)}
        loosely = [
            kept
            for group in groups_of(self.whole_keys)
            if len(kept := [i for i in group if i not in spare]) > 1
        ]
        found["loose_duplicate"] = self._duplicates("loose_duplicate", loosely)
        spare |= {i for group in loosely for i in group if i != self._keeper(group)}
        roots = self.near.clusters(
            lambda at: texts_of([self.content_ids[i] for i in at], self.task_kind), beat=beat
        )
        near = [
            kept
            for group in groups_from(roots.roots())
            if len(kept := [i for i in group if i not in spare]) > 1
        ]
        found["near_duplicate"] = self._near(near)
        found["conflict"] = self._conflicts()
        noted = self.texts.noted()
        for key, note in noted.items():
            self.flagged[key] = [Row(example, note=words[:200]) for example, words in note.rows]
        for key, rows in self.flagged.items():
            if rows:
                facts = noted[key].facts if key in noted else {}
                found[key] = Found(key, self._headline(key, len(rows)), rows, len(rows), facts)
        if "pii" in found:
            found["pii"].facts = {"kinds": dict(self.pii_kinds.most_common())}
        counts = stats(self.n_prompt, self.n_completion, self.labels)
        self._spread(found, counts.labels)
        ordered = [found[key] for key in RULES if key in found and (found[key].rows or found[key].facts)]
        return Report(len(self.ids), ordered, {**counts.as_json(), "languages": self.texts.spread()})

    def _headline(self, key: str, n: int) -> str:
        words = {
            "pii": ("row holds personal data", "rows hold personal data"),
            "encoding": ("row has debris of a wrong encoding", "rows have debris of a wrong encoding"),
            "lost_characters": ("row has lost characters", "rows have lost characters"),
            "too_short": ("row is too short for the task", "rows are too short for the task"),
            "too_long": ("row is too long for the task", "rows are too long for the task"),
            "empty_answer": ("answer says nothing", "answers say nothing"),
            "not_json": ("answer is not JSON", "answers are not JSON"),
            "token_limit": (
                "row may pass the token limit of a provider",
                "rows may pass the token limit of a provider",
            ),
            "truncated": ("answer looks cut off", "answers look cut off"),
            "refusal": ("answer refuses", "answers refuse"),
            "other_language": (
                "row is written in another language than most",
                "rows are written in another language than most",
            ),
            "answer_language": (
                "answer is in another language than its question",
                "answers are in another language than their question",
            ),
            "unknown_label": (
                "row has a label the task does not name",
                "rows have a label the task does not name",
            ),
            "speaks_to_judge": ("row gives orders to a judge", "rows give orders to a judge"),
        }[key]
        return _plural(n, *words)

    def _duplicates(self, rule: str, groups: list[list[int]]) -> Found:
        rows, extra = [], 0
        for number, group in enumerate(groups, 1):
            kept = self._keeper(group)
            extra += len(group) - 1
            rows += [Row(self.ids[i], number, i == kept) for i in group]
        how = "exactly" if rule == "exact_duplicate" else "but for formatting"
        headline = f"{_plural(extra, 'row repeats', 'rows repeat')} another {how}"
        return Found(rule, headline, rows, extra, {"groups": len(groups)} if groups else {})

    def _near(self, groups: list[list[int]]) -> Found:
        rows, extra, differing = [], 0, 0
        for number, group in enumerate(groups, 1):
            kept = self._keeper(group)
            for i in group:
                # A near-duplicate with another label is a contradiction, not a copy: a person must look.
                differs = self.task_kind == "classify" and self.labels[i] != self.labels[kept]
                differing += differs
                extra += i != kept and not differs
                note = f"another label than the kept row: “{self.labels[i][:80]}”" if differs else ""
                rows.append(Row(self.ids[i], number, i == kept or differs, note))
        headline = f"{_plural(extra, 'row nearly repeats', 'rows nearly repeat')} another"
        if differing and not extra:
            headline = (
                f"{_plural(differing, 'row nearly repeats', 'rows nearly repeat')} one with another label"
            )
        elif differing:
            headline += f"; {_plural(differing, 'more carries', 'more carry')} another label"
        facts = (
            {"groups": len(groups), "other_label": differing, "threshold": self.near.threshold}
            if groups
            else {}
        )
        return Found("near_duplicate", headline, rows, extra, facts)

    def _conflicts(self) -> Found:
        found = find_conflicts(self.prompt_keys, self.answer_keys)
        rows, minority = [], 0
        for number, conflict in enumerate(found, 1):
            dropped = set(conflict.minority)
            minority += len(dropped)
            rows += [
                Row(self.ids[i], number, bool(conflict.majority) and i not in dropped, self.labels[i][:80])
                for i in conflict.members
            ]
        headline = f"{_plural(len(found), 'prompt has', 'prompts have')} more than one answer"
        facts = {"groups": len(found), "minority": minority} if found else {}
        return Found("conflict", headline, rows, len(rows), facts)

    def _spread(self, found: dict[str, Found], counts: dict[str, int]) -> None:
        ratio = imbalance(counts)
        if ratio is not None and ratio >= OUT_OF_BALANCE:
            largest, smallest = next(iter(counts.items())), list(counts.items())[-1]
            found["imbalance"] = Found(
                "imbalance",
                f"“{largest[0][:60]}” has {ratio:.0f} times the rows of “{smallest[0][:60]}” "
                f"({largest[1]:,} against {smallest[1]:,})",
                facts={"ratio": round(ratio, 1)},
            )
        thin = {label for label, n in counts.items() if n < THIN}
        if thin and len(counts) > 1:
            rows = [
                Row(i, note=f"label “{label[:80]}”")
                for i, label in zip(self.ids, self.labels, strict=True)
                if label in thin
            ]
            found["thin_label"] = Found(
                "thin_label",
                f"{_plural(len(thin), 'label has', 'labels have')} fewer than {THIN} rows",
                rows,
                len(rows),
                {"labels": {label: counts[label] for label in list(counts) if label in thin}},
            )


def by_cluster(rows: list[Row]) -> list[list[Row]]:
    """Rows of a finding grouped by cluster."""
    return [
        list(group) for _, group in groupby(sorted(rows, key=lambda r: r.cluster), key=lambda r: r.cluster)
    ]
