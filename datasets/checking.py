"""All checks over the active rows of a dataset: reads them once, hands back findings. Writes nothing.

Rows are looked at part by part, by as many workers as there are. Then one of them joins the signatures and says which
rows are nearly alike, while another joins everything else and draws the report. Texts pass by in blocks; what stays of
them are keys, lengths and signatures.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from datasets.active import texts_of
from datasets.binding import packed
from datasets.domain.conflicts import find_conflicts
from datasets.domain.duplicates import (
    ALL_PAIRS_UP_TO,
    THRESHOLD,
    NearDuplicates,
    groups_from,
    groups_of_numbers,
)
from datasets.domain.hashing import joined_keys
from datasets.domain.packing import pack, unpack
from datasets.domain.rules import OUT_OF_BALANCE, RULES, THIN
from datasets.domain.stats import imbalance, stats
from datasets.looking import COLUMNS, Part, Row
from datasets.text_checks import TextChecks


@dataclass(slots=True)
class Found:
    """One finding before it is written."""

    rule: str
    headline: str
    rows: list[Row] = field(default_factory=list)
    n_fixable: int = 0
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Alike:
    """Which rows are nearly the same: the root of each row's cluster, by position.

    `is_whole`: every pair of like rows was compared; among the rows of a crowd some may not have been.
    """

    roots: np.ndarray
    is_whole: bool

    def as_bytes(self) -> bytes:
        """Packed, for the way to another worker: only rows whose root is another row."""
        at = np.flatnonzero(self.roots != np.arange(len(self.roots)))
        facts = {"n": len(self.roots), "is_whole": self.is_whole}
        return pack(facts, {"at": at, "roots": self.roots[at]})

    @classmethod
    def from_bytes(cls, data: bytes | memoryview) -> Alike:
        """What `as_bytes` packed."""
        facts, columns = unpack(data)
        roots = np.arange(facts["n"])
        roots[columns["at"]] = columns["roots"]
        return cls(roots, facts["is_whole"])


def _plural(n: int, one: str, many: str) -> str:
    return f"1 {one}" if n == 1 else f"{n:,} {many}"


class Joined:
    """The columns of all parts, end to end, and which of several like rows is the one to keep."""

    def __init__(self, task_kind: str, parts: Iterable[Part]) -> None:
        """Parts come in the order of their rows, and nothing is kept of one but what `_take` takes."""
        self.task_kind = task_kind
        names: dict[str, int] = {}
        columns: dict[str, list[np.ndarray]] = {name: [] for name in COLUMNS}
        for part in parts:
            for name in COLUMNS:
                columns[name].append(getattr(part, name))
            # Each part numbers its labels by itself.
            codes = [names.setdefault(name, len(names)) for name in part.label_names]
            columns["label_codes"][-1] = np.array(codes or [0], np.int32)[part.label_codes]
            self._take(part)
        joined = {
            name: np.concatenate(found) if found else np.empty(0, np.int64) for name, found in columns.items()
        }
        self.ids, self.content_ids, self.exact = joined["ids"], joined["content_ids"], joined["exact"]
        self.prompt_keys, self.answer_keys = joined["prompt_keys"], joined["answer_keys"]
        self.reviewed = joined["reviewed"]
        self.n_prompt, self.n_completion = joined["n_prompt"], joined["n_completion"]
        by_code = list(names)
        self.labels = [by_code[code] for code in joined["label_codes"].tolist()]

    def _take(self, part: Part) -> None:
        """What else is wanted of a part."""

    def _keeper(self, members: list[int]) -> int:
        return min(
            members,
            key=lambda i: (
                not self.reviewed[i],
                -int(self.n_prompt[i]) - int(self.n_completion[i]),
                self.ids[i],
            ),
        )

    def _spare(self, groups: list[list[int]]) -> set[int]:
        """All but the one to keep of each group."""
        return {i for group in groups for i in group} - {self._keeper(group) for group in groups}


class Comparer(Joined):
    """Says which rows are nearly alike."""

    def __init__(self, task_kind: str, parts: Iterable[Part]) -> None:
        self._near = NearDuplicates()
        super().__init__(task_kind, parts)

    def _take(self, part: Part) -> None:
        self._near.take(part.signed)

    def alike(self, *, beat: Callable[[], None] = lambda: None) -> Alike:
        """The clusters of like rows; a copy is compared with nobody, the row it repeats is."""
        copies = self._spare(groups_of_numbers(self.exact))
        clusters = self._near.clusters(
            lambda at: texts_of(self.content_ids[at].tolist(), self.task_kind), beat=beat, leave_out=copies
        )
        return Alike(clusters.roots(), self._near.largest_bucket <= ALL_PAIRS_UP_TO)


class Checker(Joined):
    """Says what all rows of a dataset together show."""

    def __init__(self, task_kind: str, parts: Iterable[Part]) -> None:
        self._flagged: dict[str, list[Row]] = {key: [] for key in RULES}
        self._pii_kinds: Counter[str] = Counter()
        self._texts = TextChecks(task_kind)
        self._spares: set[int] = set()
        super().__init__(task_kind, parts)
        self._counts = stats(self.n_prompt.tolist(), self.n_completion.tolist(), self.labels)

    def _take(self, part: Part) -> None:
        for rule, rows in part.flagged.items():
            self._flagged[rule] += rows
        self._pii_kinds.update(part.pii_kinds)
        self._texts.join(part.texts)

    def stats(self) -> dict[str, Any]:
        """Lengths, labels and languages of the rows."""
        return {**self._counts.as_json(), "languages": self._texts.spread()}

    def findings(self) -> list[Found]:
        """What is to be said without `Alike`, in the order of the rules."""
        found: dict[str, Found] = {}
        exact = groups_of_numbers(self.exact)
        found["exact_duplicate"] = self._duplicates("exact_duplicate", exact)
        copies = self._spare(exact)
        whole_keys = joined_keys(self.prompt_keys, self.answer_keys)
        loosely = [
            kept
            for group in groups_of_numbers(whole_keys)
            if len(kept := [i for i in group if i not in copies]) > 1
        ]
        found["loose_duplicate"] = self._duplicates("loose_duplicate", loosely)
        self._spares = copies | self._spare(loosely)
        found["conflict"] = self._conflicts()
        noted = self._texts.noted()
        for key, note in noted.items():
            self._flagged[key] = [Row(example, note=words[:200]) for example, words in note.rows]
        for key, rows in self._flagged.items():
            if rows:
                facts = noted[key].facts if key in noted else {}
                found[key] = Found(key, self._headline(key, len(rows)), rows, len(rows), facts)
        if "pii" in found:
            found["pii"].facts = {"kinds": dict(self._pii_kinds.most_common())}
        self._spread(found, self._counts.labels)
        return [found[key] for key in RULES if key in found and (found[key].rows or found[key].facts)]

    def near_duplicates(self, alike: Alike) -> list[Found]:
        """The finding about like rows that `findings`, asked before, does not name as copies; none if there are none."""
        groups = groups_from(alike.roots)
        near = [kept for group in groups if len(kept := [i for i in group if i not in self._spares]) > 1]
        return [self._near(near)] if near else []

    def bindings(self, alike: Alike) -> bytes:
        """Rows that are nearly the same as another, or ask the same, for whoever freezes these rows (binding.py).

        Empty when not every pair was compared: among fewer rows it might be.
        """
        if not alike.is_whole:
            return b""
        roots = alike.roots
        sizes = np.bincount(roots, minlength=len(roots))
        _, which, asked = np.unique(self.prompt_keys, return_inverse=True, return_counts=True)
        bound = (sizes[roots] > 1) | (asked[which] > 1)
        return packed(
            self.content_ids, self.content_ids[bound], threshold=THRESHOLD, task_kind=self.task_kind
        )

    def _headline(self, key: str, n: int) -> str:
        words = {
            "pii": ("row holds personal data", "rows hold personal data"),
            "encoding": ("row has debris of a wrong encoding", "rows have debris of a wrong encoding"),
            "hidden_characters": (
                "row holds characters nobody sees",
                "rows hold characters nobody sees",
            ),
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
            rows += [Row(int(self.ids[i]), number, i == kept) for i in group]
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
                rows.append(Row(int(self.ids[i]), number, i == kept or differs, note))
        headline = f"{_plural(extra, 'row nearly repeats', 'rows nearly repeat')} another"
        if differing and not extra:
            headline = (
                f"{_plural(differing, 'row nearly repeats', 'rows nearly repeat')} one with another label"
            )
        elif differing:
            headline += f"; {_plural(differing, 'more carries', 'more carry')} another label"
        facts = {"groups": len(groups), "other_label": differing, "threshold": THRESHOLD} if groups else {}
        return Found("near_duplicate", headline, rows, extra, facts)

    def _conflicts(self) -> Found:
        found = find_conflicts(self.prompt_keys, self.answer_keys)
        rows, minority = [], 0
        for number, conflict in enumerate(found, 1):
            dropped = set(conflict.minority)
            minority += len(dropped)
            rows += [
                Row(
                    int(self.ids[i]),
                    number,
                    bool(dropped) and i not in dropped,
                    self.labels[i][:80],
                )
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
        if len(counts) == 1:
            label = next(iter(counts))
            found["one_label"] = Found(
                "one_label", f"Every row carries the label “{label[:80]}”", facts={"label": label[:200]}
            )
        thin = {label for label, n in counts.items() if n < THIN}
        if thin and len(counts) > 1:
            rows = [
                Row(i, note=f"label “{label[:80]}”")
                for i, label in zip(self.ids.tolist(), self.labels, strict=True)
                if label in thin
            ]
            found["thin_label"] = Found(
                "thin_label",
                f"{_plural(len(thin), 'label has', 'labels have')} fewer than {THIN} rows",
                rows,
                len(rows),
                {"labels": {label: counts[label] for label in list(counts) if label in thin}},
            )
