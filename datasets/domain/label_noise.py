"""Labels that look wrong, by confident learning over probabilities that never saw the row they judge.

Knows no classifier: it takes probabilities, says which labels look wrong, how many, and what they should be.
Source: Northcutt, Jiang, Chuang, Confident Learning: Estimating Uncertainty in Dataset Labels (arXiv:1911.00068).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

FOLDS = 5
# A label needs a text in every fold to be learnt and judged; rows that say the same lie in one fold.
LEAST_TEXTS_A_LABEL = FOLDS
# A label that is given this probability or less, in hundredths as people read it, is plainly doubted: of 18 such rows of
# a public set (banking77) that were read, 12 were wrong; of 22 other suspects 4.
PLAIN = 0.03


@dataclass(frozen=True, slots=True)
class Suspect:
    """One row: its position, the label it should have, and the probabilities of both, 0 to 1."""

    position: int
    suggested: int
    given_probability: float
    suggested_probability: float


@dataclass(frozen=True, slots=True)
class Noise:
    """What is wrong with the labels. `joint[i][j]` counts rows labelled i that are confidently j, over all rows."""

    thresholds: np.ndarray
    confident: np.ndarray
    joint: np.ndarray
    suspects: tuple[Suspect, ...]

    @property
    def n_estimated(self) -> float:
        """Rows with a wrong label, estimated by the calibrated joint."""
        return float(self.joint.sum() - np.trace(self.joint))


def confident_learning(probabilities: np.ndarray, given: np.ndarray) -> Noise:
    """Suspects, least sure of their own label first, and the joint of given and likely true labels.

    The threshold of a label is the mean probability that rows with this label give it. A row counts as j when its
    probability of j reaches the threshold of j, for the likeliest such j; it is suspect when that is not its own label,
    and likelier than its own: thin labels have low thresholds, which a row may reach without being likely.
    Shapes: probabilities (n, k), rows sum to 1; given (n,) integers below k, each occurring.
    """
    n, k = probabilities.shape
    sizes = np.bincount(given, minlength=k)
    own = probabilities[np.arange(n), given]
    sums = np.bincount(given, weights=own, minlength=k)
    # A label nobody has cannot be told; a threshold above 1 keeps it out.
    thresholds = np.divide(sums, sizes, out=np.full(k, 2.0), where=sizes > 0)
    # A label no row was given with any probability was never learnt, so nobody reaches it either.
    thresholds = np.where(thresholds > 0, thresholds, 2.0)
    reached = probabilities >= thresholds - 1e-12
    counted = reached.any(axis=1)
    likely = np.where(reached, probabilities, -1.0).argmax(axis=1)
    confident = np.zeros((k, k), dtype=np.int64)
    np.add.at(confident, (given[counted], likely[counted]), 1)
    rows = confident.sum(axis=1, keepdims=True)
    # Calibrated: rows of the joint add up to how often each label was given. A row without a count keeps its label.
    joint = np.where(rows > 0, confident * (sizes[:, None] / np.maximum(rows, 1)), np.diag(sizes))
    wrong = np.flatnonzero(counted & (own < probabilities[np.arange(n), likely]))
    order = wrong[np.lexsort((wrong, own[wrong]))]
    suspects = tuple(
        Suspect(int(i), int(likely[i]), float(own[i]), float(probabilities[i, likely[i]])) for i in order
    )
    return Noise(thresholds, confident, joint, suspects)


def folds_of(keys: Sequence[bytes], labels: Sequence[int], *, seed: str, n_folds: int = FOLDS) -> np.ndarray:
    """The fold of each row: every label spread evenly, rows with one key together, by sha256(seed ‖ key) alone.

    Rows that say the same stay together, or a copy with the same wrong label would vouch for it.
    Shapes: equal lengths; the answer is (n,) integers below `n_folds`.
    """
    ranked = sorted(
        range(len(keys)), key=lambda i: (labels[i], hashlib.sha256(seed.encode() + keys[i]).digest(), i)
    )
    folds = np.zeros(len(keys), dtype=np.int64)
    placed: dict[bytes, int] = {}
    counts: dict[int, int] = {}
    for i in ranked:
        if keys[i] in placed:
            folds[i] = placed[keys[i]]
            continue
        at = counts.get(labels[i], 0)
        counts[labels[i]] = at + 1
        folds[i] = placed[keys[i]] = at % n_folds
    return folds
