"""Checks of single texts that need a look at the others too: endings, refusals, languages, tokens.

Reads rows as they pass by; keeps ids and short notes only. Writes nothing.
"""

from __future__ import annotations

from array import array
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from datasets.domain.endings import Ending, ending_of, is_refusal, open_ones_were_cut
from datasets.domain.language import NAMES
from datasets.domain.tokens import (
    BYTES_PER_TOKEN,
    LIMITS,
    passed_limits,
    tokens_bound,
    tokens_estimate,
)

# Tasks whose answers are sentences.
PROSE = ("answer", "write")
# The language of a dataset is the one of this share of the rows whose language is known.
MAIN_SHARE = 0.6


@dataclass(slots=True)
class Noted:
    """What one rule found: (example id, note) pairs and facts for the page."""

    rows: list[tuple[int, str]] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)


class TextChecks:
    """Looks at rows one by one; `noted()` says what it found once all have passed."""

    def __init__(self, task_kind: str) -> None:
        self.is_labelled = task_kind == "classify"
        self.is_prose = task_kind in PROSE
        self.languages: Counter[str] = Counter()
        # Which language is the main one is known at the end only: eight bytes a row until then.
        self._by_language: dict[str, array[int]] = {}
        self._n_whole = 0
        self._open: list[int] = []
        self._found: dict[str, Noted] = {
            rule: Noted()
            for rule in ("token_limit", "truncated", "refusal", "other_language", "answer_language")
        }
        self._over_bound: Counter[str] = Counter()
        self._over_estimate: Counter[str] = Counter()

    def look(
        self,
        example_id: int,
        completion: str,
        *,
        language: str,
        answered: str,
        may_refuse: bool,
    ) -> None:
        """One row: its answer, and the languages of its question and its answer ("" where nothing can be said)."""
        found = self._found
        self.languages[language] += 1
        if language:
            self._by_language.setdefault(language, array("q")).append(example_id)
        if not self.is_labelled:
            if may_refuse and is_refusal(completion):
                found["refusal"].rows.append((example_id, completion[:80]))
            self._look_at_ending(example_id, completion)
            if self.is_prose and language and answered and language != answered:
                found["answer_language"].rows.append(
                    (example_id, f"{NAMES[language]}, answered in {NAMES[answered]}")
                )

    def _look_at_ending(self, example_id: int, completion: str) -> None:
        ending = ending_of(completion)
        if ending is Ending.CUT:
            self._found["truncated"].rows.append((example_id, f"ends with “{completion[-40:]}”"))
        elif ending is Ending.OPEN and self.is_prose:
            self._open.append(example_id)
        else:
            self._n_whole += len(completion) >= 60

    def look_at_length(self, example_id: int, system: str, turns: str, prompt: str, completion: str) -> None:
        """What one row weighs against the providers' limits; worth asking from WORTH_COUNTING_CHARS on."""
        n_bytes = sum(
            len(part.encode("utf-8", "surrogatepass")) for part in (system, turns, prompt, completion)
        )
        n_turns = 3 + turns.count("],[")
        bound, likely = tokens_bound(n_bytes, n_turns), tokens_estimate(n_bytes, n_turns)
        if passed := passed_limits(bound):
            self._over_bound.update(limit.name for limit in passed)
            self._over_estimate.update(limit.name for limit in passed_limits(likely))
            self._found["token_limit"].rows.append(
                (example_id, f"at most {bound:,} tokens (upper bound), likely {likely:,} (estimate)")
            )

    def as_json(self) -> dict[str, Any]:
        """What was seen so far, as plain values for the way to whoever joins the parts."""
        return {
            "languages": dict(self.languages),
            "by_language": {name: ids.tolist() for name, ids in self._by_language.items()},
            "n_whole": self._n_whole,
            "open": self._open,
            "found": {rule: noted.rows for rule, noted in self._found.items() if noted.rows},
            "over_bound": dict(self._over_bound),
            "over_estimate": dict(self._over_estimate),
        }

    def join(self, seen: dict[str, Any]) -> None:
        """Add what `as_json` of another part said."""
        self.languages.update(seen["languages"])
        for name, ids in seen["by_language"].items():
            self._by_language.setdefault(name, array("q")).extend(ids)
        self._n_whole += seen["n_whole"]
        self._open += seen["open"]
        for rule, rows in seen["found"].items():
            self._found[rule].rows += [(key, note) for key, note in rows]
        self._over_bound.update(seen["over_bound"])
        self._over_estimate.update(seen["over_estimate"])

    def noted(self) -> dict[str, Noted]:
        """What was found, by rule; rules without rows are left out."""
        found = self._found
        if self._open and open_ones_were_cut(self._n_whole, len(self._open)):
            found["truncated"].rows += [
                (i, "ends without a final mark, unlike most answers") for i in self._open
            ]
        found["truncated"].rows.sort()
        if found["token_limit"].rows:
            found["token_limit"].facts = {
                "limits": [
                    {
                        "name": limit.name,
                        "max_tokens": limit.max_tokens,
                        "over_bound": self._over_bound[limit.name],
                        "over_estimate": self._over_estimate[limit.name],
                    }
                    for limit in LIMITS
                ],
                "bytes_per_token": BYTES_PER_TOKEN,
            }
        known = {name: n for name, n in self.languages.items() if name}
        n_known = sum(known.values())
        if n_known:
            main = max(known, key=lambda name: known[name])
            if known[main] >= MAIN_SHARE * n_known:
                found["other_language"].rows = sorted(
                    (i, NAMES[name]) for name, ids in self._by_language.items() if name != main for i in ids
                )
                found["other_language"].facts = {"main": NAMES[main], "unknown": self.languages[""]}
        return {rule: noted for rule, noted in found.items() if noted.rows}

    def spread(self) -> dict[str, int]:
        """Rows by language name, most frequent first; "not known" where nothing can be said."""
        return {NAMES.get(name, "not known"): n for name, n in self.languages.most_common()}
