"""What a version is made by, and the checksum that names what came out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from datasets.domain.duplicates import THRESHOLD
from datasets.domain.splitting import Ratios, Strategy

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that decides which row goes where, beside the rows themselves."""

    seed: str
    ratios: Ratios = field(default_factory=Ratios)
    strategy: Strategy = Strategy.STRATIFIED
    task_kind: str = "classify"
    # Raise the test share until the test can see 75 → 85 % with 80 % power (at most 30 % of the rows).
    size_test_by_power: bool = True
    # Rows of one group (a customer) never stand in two splits.
    keep_groups: bool = True
    near_threshold: float = THRESHOLD

    def __post_init__(self) -> None:
        if not 0.5 <= self.near_threshold <= 1:
            raise ValueError("The likeness that counts as a near-duplicate must lie between 0.5 and 1.")
        if not self.seed.strip() or len(self.seed) > 60:
            raise ValueError("The seed must have 1 to 60 characters.")

    def as_json(self) -> dict[str, Any]:
        """Plain values for a JSON column and for the checksum."""
        return {
            "format": FORMAT,
            "seed": self.seed,
            "ratios": self.ratios.as_json(),
            "strategy": self.strategy.value,
            "task_kind": self.task_kind,
            "size_test_by_power": self.size_test_by_power,
            "keep_groups": self.keep_groups,
            "near_threshold": self.near_threshold,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Recipe:
        """The recipe that `as_json` wrote. Raises ValueError for nonsense."""
        return cls(
            seed=str(value["seed"]),
            ratios=Ratios.of(*value.get("ratios", ("0.8", "0.1", "0.1"))),
            strategy=Strategy(value.get("strategy", "stratified")),
            task_kind=str(value.get("task_kind", "classify")),
            size_test_by_power=bool(value.get("size_test_by_power", True)),
            keep_groups=bool(value.get("keep_groups", True)),
            near_threshold=float(value.get("near_threshold", THRESHOLD)),
        )


def checksum(recipe: Recipe, rows: Iterable[tuple[str, bytes, str]]) -> str:
    """sha256 over the recipe and every (split, digest, label) in reading order, 64 hexadecimal characters."""
    whole = hashlib.sha256(json.dumps(recipe.as_json(), sort_keys=True, separators=(",", ":")).encode())
    for split, digest, label in rows:
        whole.update(f"\n{split}\0{label}\0".encode())
        whole.update(digest)
    return whole.hexdigest()
