"""Fitting the local models. Runs in a child process: scikit-learn is imported here and nowhere else.

Learns from training rows alone; validation rows only choose between settings and are scored. Test rows never come here.
"""

from __future__ import annotations

import time
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy import stats
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score

from datasets.domain.training import judge_fit
from foundation.llm.local.answering import ClassifierModel, LocalModel, NearestModel
from foundation.llm.local.features import Features, fit_idf, weighted

CURVE_SHARES = (0.1, 0.25, 0.5)
# Rows times labels up to which every try uses all rows; beyond, tries use the first rows and the winner is fitted on all.
TRY_CELLS = 250_000
LEAST_TRY_ROWS = 2_000
# Fewer rows than this cannot say which temperature is right.
MIN_CALIBRATION_ROWS = 50
TEMPERATURES = tuple(float(t) for t in np.geomspace(0.2, 3.0, 24))

Say = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True)
class TrainRow:
    """What a model learns from one row: the question, and the answer (the label, for labelled tasks)."""

    text: str
    answer: str


@dataclass(frozen=True, slots=True)
class Fitted:
    """A trained model with its figures as plain values."""

    model: LocalModel
    metrics: dict[str, Any] = field(default_factory=dict)


def _quiet(done: int, total: int, step: str) -> None:
    return None


def fit_classifier(
    train: Sequence[TrainRow],
    validation: Sequence[TrainRow],
    settings: Mapping[str, Any],
    *,
    say: Say = _quiet,
    seed: int = 0,
) -> Fitted:
    """Logistic regression with the settings that did best on the validation rows, by macro F1, then accuracy.

    Raises: ValueError when there are fewer than two labels among the training rows.
    """
    labels = sorted({row.answer for row in train})
    if len(labels) < 2:
        raise ValueError("The training rows carry fewer than two labels. A classifier needs at least two.")
    place = {label: i for i, label in enumerate(labels)}
    features = _features(settings)
    say(0, 1, "turning text into features")
    counts = features.counts([row.text for row in train])
    idf = fit_idf(counts)
    seen_in = np.bincount(counts.indices, minlength=features.size)
    columns = np.flatnonzero(seen_in >= min(settings["min_rows"], max(1, len(train) // 20)))
    x = weighted(counts, idf)[:, columns]
    y = np.fromiter((place[row.answer] for row in train), dtype=np.int64, count=len(train))
    xv = features.matrix([row.text for row in validation], idf)[:, columns]
    yv = np.fromiter((place.get(row.answer, -1) for row in validation), dtype=np.int64, count=len(validation))

    weightings = {"both": (None, "balanced"), "balanced": ("balanced",), "none": (None,)}[
        settings["class_weighting"]
    ]
    tries = [(c, w) for w in weightings for c in settings["c_values"]]
    total = len(tries) + (len(CURVE_SHARES) if settings["learning_curve"] else 0) + 1
    trials: list[dict[str, Any]] = []
    best: tuple[tuple[float, float, float], LogisticRegression, tuple[float, str | None]] | None = None
    n_try = len(train) if len(tries) == 1 else min(len(train), max(LEAST_TRY_ROWS, TRY_CELLS // len(labels)))
    if len(set(y[:n_try].tolist())) < 2:
        n_try = len(train)
    for i, (c, weighting) in enumerate(tries):
        say(i, total, f"fitting with C = {c:g}" + (", rare labels count for more" if weighting else ""))
        model = _fit(x[:n_try], y[:n_try], c, weighting, settings, seed)
        score = _score(yv, _predict(model, xv))
        trials.append({"c": c, "weighting": weighting or "none", **score})
        # Among equals the plainer model is taken: smaller C.
        rank = (score["macro_f1"] or 0.0, score["accuracy"] or 0.0, -c)
        if best is None or rank > best[0]:
            best = (rank, model, (c, weighting))
    assert best is not None
    _, chosen, (c, weighting) = best
    if n_try < len(train):
        say(len(tries), total, f"fitting C = {c:g} on all {len(train):,} rows")
        chosen = _fit(x, y, c, weighting, settings, seed)

    curve = []
    if settings["learning_curve"]:
        for i, share in enumerate(CURVE_SHARES):
            n = max(len(labels), int(len(train) * share))
            say(len(tries) + i, total, f"learning curve at {n:,} rows")
            # Rows come in digest order, so the first n are as good a sample as any, on every machine.
            if len(set(y[:n].tolist())) < 2:
                continue
            part = _fit(x[:n], y[:n], c, weighting, settings, seed)
            curve.append(_curve_point(n, _score(y[:n], part.predict(x[:n])), _score(yv, _predict(part, xv))))
    say(total - 1, total, "scoring")
    on_train = _score(y, chosen.predict(x))
    on_validation = _score(yv, _predict(chosen, xv))
    curve.append(_curve_point(len(train), on_train, on_validation))

    weights = np.zeros((len(labels), features.size), dtype=np.float32)
    bias = np.zeros(len(labels), dtype=np.float32)
    coefficients, intercepts = chosen.coef_, chosen.intercept_
    if coefficients.shape[0] == 1 and len(labels) == 2:
        coefficients = np.vstack([np.zeros_like(coefficients), coefficients])
        intercepts = np.concatenate([[0.0], intercepts])
    weights[np.ix_(chosen.classes_, columns)] = coefficients
    bias[chosen.classes_] = intercepts
    temperature = _temperature(xv @ coefficients.T + intercepts, yv)
    model = ClassifierModel(
        labels,
        weights.T,
        bias,
        features,
        idf=idf,
        temperature=temperature,
        settings={"c": c, "class_weighting": weighting or "none"},
    )
    fit = judge_fit(
        train=on_train["accuracy"],
        validation=on_validation["accuracy"],
        n_train=len(train),
        n_validation=len(validation),
    )
    unseen = sorted({row.answer for row in validation} - set(labels))
    metrics = {
        "measure": "accuracy",
        "train": on_train,
        "validation": on_validation,
        "gap": fit.gap,
        "level": fit.level,
        "sentence": fit.sentence,
        "chosen": {"c": c, "class_weighting": weighting or "none"},
        "chosen_by": "validation macro F1" if len(yv) else "nothing: there are no validation rows",
        "n_try_rows": n_try,
        "trials": trials,
        "curve": curve,
        "n_labels": len(labels),
        "n_features": len(columns),
        "temperature": temperature,
        "labels_unseen_in_training": unseen[:20],
        "converged": bool(np.all(chosen.n_iter_ < settings["max_iterations"])),
    }
    return Fitted(model, metrics)


def fit_nearest(
    train: Sequence[TrainRow],
    validation: Sequence[TrainRow],
    settings: Mapping[str, Any],
    *,
    say: Say = _quiet,
    seed: int = 0,
) -> Fitted:
    """The most similar training row answers. Its training score is not taken: it would find itself."""
    if not train:
        raise ValueError("There are no training rows to remember.")
    say(0, 2, "remembering the training rows")
    model = NearestModel.from_examples(
        [r.text for r in train], [r.answer for r in train], _features(settings)
    )
    say(1, 2, "scoring")
    answers = [a.text for a in model.answer([r.text for r in validation])] if validation else []
    right = sum(a.strip() == r.answer.strip() for a, r in zip(answers, validation, strict=True))
    score = _share(right, len(validation))
    metrics: dict[str, Any] = {
        "measure": "exact answers",
        "train": None,
        "validation": {**score, "macro_f1": _macro([r.answer for r in validation], answers)},
        "gap": None,
        "level": "" if validation else "warn",
        "sentence": (
            "It repeats training rows, so a training score would say nothing; only the validation figure counts."
            if validation
            else "No validation rows were scored."
        ),
        "chosen": {},
        "chosen_by": "nothing to choose",
        "trials": [],
        "curve": [],
        "n_labels": len(set(model.answers)),
    }
    return Fitted(model, metrics)


def fit_inside(
    fit: Callable[..., Fitted],
    rows: Sequence[TrainRow],
    inner: Sequence[bool],
    settings: Mapping[str, Any],
    *,
    say: Say = _quiet,
    seed: int = 0,
) -> Fitted:
    """A model fitted on all rows, with settings that the `inner` rows chose while the others taught.

    So a held fold chooses nothing, and a final model needs no rows of its own for it. How sure the answers are said
    to be is set by the inner rows too.
    Shapes: equal lengths. Raises: ValueError as the fitter does.
    """
    told = {**settings, "learning_curve": False}
    teaching = [row for row, is_inner in zip(rows, inner, strict=True) if not is_inner]
    choosing = [row for row, is_inner in zip(rows, inner, strict=True) if is_inner]
    first = None
    if "c_values" in settings and choosing and len({row.answer for row in teaching}) > 1:
        first = fit(teaching, choosing, told, say=say, seed=seed)
        chosen = first.metrics["chosen"]
        told |= {"c_values": [chosen["c"]], "class_weighting": chosen["class_weighting"]}
    fitted = fit(rows, [], told, say=say, seed=seed)
    metrics = {**fitted.metrics, "curve": []}
    if first is not None:
        fitted.model.temperature = first.model.temperature  # type: ignore[attr-defined]
        metrics |= {
            "trials": first.metrics["trials"],
            "chosen_by": f"macro F1 on {len(choosing):,} of its rows",
            "temperature": first.metrics["temperature"],
        }
    return Fitted(fitted.model, metrics)


FITTERS: dict[str, Callable[..., Fitted]] = {"local-classifier": fit_classifier, "local-nearest": fit_nearest}


def _features(settings: Mapping[str, Any]) -> Features:
    return Features(
        word_ngrams=(1, int(settings["word_ngrams"])), char_ngrams=(3, int(settings["char_ngrams"]))
    )


def _fit(
    x: Any, y: np.ndarray, c: float, weighting: str | None, settings: Mapping[str, Any], seed: int
) -> Any:
    model = LogisticRegression(
        C=c, class_weight=weighting, max_iter=settings["max_iterations"], tol=1e-3, random_state=seed
    )
    with warnings.catch_warnings():
        # Said in the figures ("converged"), not on a log nobody reads.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(x, y)


def _predict(model: Any, x: Any) -> np.ndarray:
    return model.predict(x) if x.shape[0] else np.empty(0, dtype=np.int64)


def _score(expected: np.ndarray, predicted: np.ndarray) -> dict[str, Any]:
    score = _share(int((expected == predicted).sum()), len(expected))
    return {**score, "macro_f1": _macro(expected.tolist(), predicted.tolist())}


def _share(right: int, n: int) -> dict[str, Any]:
    if not n:
        return {"n": 0, "right": 0, "accuracy": None, "low": None, "high": None}
    interval = stats.binomtest(right, n).proportion_ci(method="wilson")
    return {
        "n": n,
        "right": right,
        "accuracy": right / n,
        "low": float(interval.low),
        "high": float(interval.high),
    }


def _macro(expected: Sequence[Any], predicted: Sequence[Any]) -> float | None:
    """Mean F1 over the labels that occur as expected ones, None for more than 1,000 of them (free text)."""
    if not expected:
        return None
    order = {label: i for i, label in enumerate(Counter(expected))}
    if len(order) > 1000:
        return None
    want = [order[e] for e in expected]
    said = [order.get(p, -1) for p in predicted]
    return float(f1_score(want, said, labels=list(order.values()), average="macro", zero_division=0))


def _curve_point(n: int, train: Mapping[str, Any], validation: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "n": n,
        "train": train["accuracy"],
        "validation": validation["accuracy"],
        "low": validation["low"],
        "high": validation["high"],
    }


def _temperature(scores: np.ndarray, expected: np.ndarray) -> float:
    """The temperature whose probabilities fit the validation labels best; 1 when there are too few rows to say.

    Source: arXiv:1706.04599. The answers do not change, only how sure they are said to be.
    """
    scores = np.atleast_2d(np.asarray(scores, dtype=np.float64))
    known = expected >= 0
    if known.sum() < MIN_CALIBRATION_ROWS:
        return 1.0
    z, y = scores[known], expected[known]

    def loss(temperature: float) -> float:
        s = z / temperature
        top = s.max(axis=1, keepdims=True)
        log_sum = np.log(np.exp(s - top).sum(axis=1)) + top[:, 0]
        return float((log_sum - s[np.arange(len(y)), y]).mean())

    return min((*TEMPERATURES, 1.0), key=loss)


def timed(fit: Callable[..., Fitted], *args: Any, **kwargs: Any) -> tuple[Fitted, float]:
    """The fitted model and the seconds it took."""
    began = time.perf_counter()
    return fit(*args, **kwargs), time.perf_counter() - began
