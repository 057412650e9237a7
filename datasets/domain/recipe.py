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
MAX_FOLDS = 10
# Pieces of bytes that are joined before they are hashed.
PIECES_AT_ONCE = 10_000
DROPPABLE = ("prompt", "group", "time")


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
    # Folds over training and validation rows, for sets too small for one validation split (0: none).
    n_folds: int = 0
    # Checksums of versions whose rows may not be tested on again: their test is worn out.
    fresh_after: tuple[str, ...] = ()
    # Training rows that share this with validation or test are left out: "prompt", "group", "time".
    drop_leaks: tuple[str, ...] = ()
    # Checksums of versions whose training rows train again: a model that learnt from them is compared on the others.
    learnt_from: tuple[str, ...] = ()
    # The same of versions whose validation rows were learnt from too: by a final model after a cross-validation.
    learnt_whole: tuple[str, ...] = ()
    # Checksums of versions that a final model learnt from: their training and validation rows never become a test.
    never_tested: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 0.5 <= self.near_threshold <= 1:
            raise ValueError("The likeness that counts as a near-duplicate must lie between 0.5 and 1.")
        if not self.seed.strip() or len(self.seed) > 60:
            raise ValueError("The seed must have 1 to 60 characters.")
        if self.n_folds and not 2 <= self.n_folds <= MAX_FOLDS:
            raise ValueError(f"Cross-validation takes 2 to {MAX_FOLDS} folds, or 0 for none.")
        if not set(self.drop_leaks) <= set(DROPPABLE):
            raise ValueError(f"Leaks that can be left out are {', '.join(DROPPABLE)}.")

    def as_json(self) -> dict[str, Any]:
        """Plain values for a JSON column and for the checksum."""
        # What is not used is not named, so that a recipe keeps its checksum when the portal learns something new.
        more: dict[str, Any] = {
            name: value
            for name, value in (
                ("n_folds", self.n_folds),
                ("fresh_after", sorted(self.fresh_after)),
                ("drop_leaks", sorted(self.drop_leaks)),
                ("learnt_from", sorted(self.learnt_from)),
                ("learnt_whole", sorted(self.learnt_whole)),
                ("never_tested", sorted(self.never_tested)),
            )
            if value
        }
        return {
            **more,
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
            n_folds=int(value.get("n_folds", 0)),
            fresh_after=tuple(value.get("fresh_after", ())),
            drop_leaks=tuple(value.get("drop_leaks", ())),
            learnt_from=tuple(value.get("learnt_from", ())),
            learnt_whole=tuple(value.get("learnt_whole", ())),
            never_tested=tuple(value.get("never_tested", ())),
        )


def checksum(recipe: Recipe, rows: Iterable[tuple[str, bytes, str]]) -> str:
    """sha256 over the recipe and every (split, digest, label) in reading order, 64 hexadecimal characters."""
    whole = hashlib.sha256(json.dumps(recipe.as_json(), sort_keys=True, separators=(",", ":")).encode())
    heads: dict[tuple[str, str], bytes] = {}
    pieces: list[bytes] = []
    for split, digest, label in rows:
        head = heads.get((split, label))
        if head is None:
            head = heads[split, label] = f"\n{split}\0{label}\0".encode()
        pieces += (head, digest)
        if len(pieces) >= PIECES_AT_ONCE:
            whole.update(b"".join(pieces))
            pieces.clear()
    whole.update(b"".join(pieces))
    return whole.hexdigest()
