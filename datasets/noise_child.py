"""The process that looks for wrong labels: `python -m datasets.noise_child <folder>`.

Reads `rows.jsonl` (id, label, text), leaves `suspects.jsonl` and prints its figures. Asks no database; scikit-learn is
imported here alone.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.utils.extmath import randomized_svd

from datasets.domain.cleaning import loose
from datasets.domain.label_noise import FOLDS, LEAST_TEXTS_A_LABEL, Noise, confident_learning, folds_of
from foundation.llm.local.features import Features, fit_idf, weighted

# Above this many rows times labels the text is first pressed into DIMENSIONS: 2 points less accurate, 10 times quicker.
DIRECT_CELLS = 100_000
DIMENSIONS = 256
STRENGTH = 10.0
Say = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True)
class Judged:
    """The verdict over the rows that could be judged; `rows` are their positions among those given."""

    rows: np.ndarray
    names: list[str]
    noise: Noise
    accuracy: float


def judge(
    labels: Sequence[str], texts: Sequence[str], *, seed: str, say: Say = lambda *_: None
) -> Judged | None:
    """Out-of-fold probabilities of a classifier of words and characters, and what follows from them.

    Rows whose label has fewer than 5 different texts are left out; None when fewer than two labels are left.
    """
    said = [loose(text).encode() for text in texts]
    distinct: dict[str, set[bytes]] = {}
    for label, text in zip(labels, said, strict=True):
        distinct.setdefault(label, set()).add(text)
    names = sorted(name for name, own in distinct.items() if len(own) >= LEAST_TEXTS_A_LABEL)
    if len(names) < 2:
        return None
    place = {name: i for i, name in enumerate(names)}
    rows = np.array([i for i, label in enumerate(labels) if label in place], dtype=np.int64)
    given = np.array([place[labels[i]] for i in rows], dtype=np.int64)
    chosen = [texts[i] for i in rows]
    say(0, FOLDS + 1, "Turning texts into features")
    features = Features()
    found = features.counts(chosen)
    seen = np.bincount(found.indices, minlength=features.size)
    columns = np.flatnonzero(seen >= (2 if len(rows) < 2000 else 3))
    x: Any = weighted(found, fit_idf(found))[:, columns]
    if len(rows) * len(names) > DIRECT_CELLS and min(x.shape) > DIMENSIONS:
        u, s, _ = randomized_svd(x, n_components=DIMENSIONS, n_iter=2, random_state=0)
        x = (u * s).astype(np.float32)
    folds = folds_of([said[i] for i in rows], given.tolist(), seed=seed)
    probabilities = np.zeros((len(rows), len(names)))
    for fold in range(FOLDS):
        say(fold + 1, FOLDS + 1, f"Judging part {fold + 1} of {FOLDS} by the others")
        held = folds == fold
        # Texts that two labels share may all lie in one fold; from one label nothing can be told apart.
        if not held.any() or len(np.unique(given[~held])) < 2:
            continue
        model = LogisticRegression(C=STRENGTH, max_iter=200, tol=1e-3)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(x[~held], given[~held])
        probabilities[np.ix_(np.flatnonzero(held), model.classes_)] = model.predict_proba(x[held])
    accuracy = float((probabilities.argmax(axis=1) == given).mean())
    return Judged(rows, names, confident_learning(probabilities, given), accuracy)


def main(folder: Path) -> None:
    """Judge the rows of a folder."""
    began = time.process_time()
    ids, labels, texts = [], [], []
    with (folder / "rows.jsonl").open(encoding="utf-8") as lines:
        for line in lines:
            key, label, text = json.loads(line)
            ids.append(key)
            labels.append(label)
            texts.append(text)
    seed = (folder / "seed").read_text("utf-8")

    def say(done: int, total: int, step: str, **data: Any) -> None:
        print(json.dumps({"done": done, "total": total, "step": step, "data": data}), flush=True)

    judged = judge(labels, texts, seed=seed, say=say)
    with (folder / "suspects.jsonl").open("w", encoding="utf-8") as out:
        for suspect in judged.noise.suspects if judged else ():
            row = int(judged.rows[suspect.position])  # type: ignore[union-attr]
            out.write(
                json.dumps(
                    [
                        ids[row],
                        labels[row],
                        judged.names[suspect.suggested],  # type: ignore[union-attr]
                        round(suspect.given_probability, 4),
                        round(suspect.suggested_probability, 4),
                    ]
                )
                + "\n"
            )
    facts: dict[str, Any] = {"n_rows": len(ids), "n_judged": 0, "folds": FOLDS}
    if judged is not None:
        joint, names = judged.noise.joint, judged.names
        pairs = [
            (float(joint[i, j]), names[i], names[j]) for i, j in np.argwhere(joint > 0.5).tolist() if i != j
        ]
        facts |= {
            "n_judged": len(judged.rows),
            "n_labels": len(names),
            "accuracy": round(judged.accuracy, 4),
            "estimated": round(judged.noise.n_estimated, 1),
            "pairs": [[round(n, 1), a, b] for n, a, b in sorted(pairs, reverse=True)[:20]],
        }
    facts["cpu_s"] = round(time.process_time() - began, 2)
    say(FOLDS + 1, FOLDS + 1, "Judged", facts=facts)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
