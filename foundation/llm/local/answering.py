"""Answers of the models trained here: a linear classifier, a nearest-example responder, the majority
answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from foundation.files import store
from foundation.files.models import Blob
from foundation.llm.errors import LocalModelFailed
from foundation.llm.local import artefact as artefacts
from foundation.llm.local.artefact import Artefact
from foundation.llm.local.features import BLOCK_ROWS, Features, fit_idf, weighted

DESCRIPTIONS = {
    "classifier": "Local classifier, not a language model",
    "nearest": "Nearest-example responder, not a language model: repeats the answer of the most similar row",
    "majority": "Majority answer: always the most frequent one, whatever is asked",
}
NEAREST_BLOCK_ROWS = 256


@dataclass(frozen=True, slots=True)
class LocalAnswer:
    """One answer. `confidence` is 0 to 1: a probability (classifier), a cosine (nearest) or a share
    (majority)."""

    text: str
    confidence: float


class LocalModel:
    """A trained model that answers texts in batches."""

    kind = ""

    @property
    def description(self) -> str:
        """What it is, honestly, in a few words."""
        return DESCRIPTIONS[self.kind]

    def answer(self, texts: Sequence[str]) -> list[LocalAnswer]:
        """One answer for each text, in order."""
        raise NotImplementedError

    def as_artefact(self) -> Artefact:
        """What is written to a file."""
        raise NotImplementedError

    def save(self, path: Path) -> str:
        """Write the model to one file; answers its SHA-256."""
        return artefacts.write(self.as_artefact(), path)


class MajorityModel(LocalModel):
    """Always the same answer; the floor every other candidate has to beat."""

    kind = "majority"

    def __init__(self, text: str, share: float) -> None:
        self.text, self.share = text, float(share)

    def answer(self, texts: Sequence[str]) -> list[LocalAnswer]:
        """The same answer for each text."""
        return [LocalAnswer(self.text, self.share)] * len(texts)

    def as_artefact(self) -> Artefact:
        """What is written to a file."""
        return Artefact("majority", {"share": self.share}, {}, {"answer": [self.text]})


class ClassifierModel(LocalModel):
    """Softmax over linear scores of hashed features.

    Shapes: weights (features.size, labels), bias (labels,), idf (features.size,) or None.
    """

    kind = "classifier"

    def __init__(
        self,
        labels: Sequence[str],
        weights: np.ndarray,
        bias: np.ndarray,
        features: Features,
        *,
        idf: np.ndarray | None = None,
        temperature: float = 1.0,
        settings: dict[str, Any] | None = None,
    ) -> None:
        if weights.shape != (features.size, len(labels)) or bias.shape != (len(labels),):
            raise ValueError("weights and bias do not fit the labels and features")
        if idf is not None and idf.shape != (features.size,):
            raise ValueError("idf does not fit the features")
        if not temperature > 0:
            raise ValueError("temperature must be above 0")
        self.labels = [str(label) for label in labels]
        self.weights = np.ascontiguousarray(weights, dtype=np.float32)
        self.bias = np.asarray(bias, dtype=np.float32)
        self.features = features
        self.idf = None if idf is None else np.asarray(idf, dtype=np.float32)
        self.temperature = float(temperature)
        self.settings = dict(settings or {})

    @classmethod
    def from_linear(
        cls, labels: Sequence[str], coef: np.ndarray, intercept: np.ndarray, features: Features, **rest: Any
    ) -> ClassifierModel:
        """From scikit-learn's `coef_` and `intercept_`.

        Two labels have one row there: softmax of (0, z) is its sigmoid.
        """
        coef, intercept = np.asarray(coef), np.asarray(intercept)
        if len(labels) == 2 and coef.shape[0] == 1:
            coef = np.vstack([np.zeros_like(coef), coef])
            intercept = np.concatenate([np.zeros(1), intercept])
        return cls(labels, coef.T, intercept, features, **rest)

    def scores(self, texts: Sequence[str]) -> np.ndarray:
        """Linear scores before the softmax. Shapes: (len(texts), labels), float32."""
        return self.scores_of_counts(self.features.counts(texts))

    def scores_of_counts(self, counts: sparse.csr_matrix) -> np.ndarray:
        """The same from counted columns, for who has them already."""
        return np.asarray(weighted(counts, self.idf) @ self.weights) + self.bias

    def probabilities(self, texts: Sequence[str]) -> np.ndarray:
        """Rows that add up to 1. Shapes: (len(texts), labels), float64."""
        return softmax(self.scores(texts), self.temperature)

    def answer(self, texts: Sequence[str]) -> list[LocalAnswer]:
        """The likeliest label for each text."""
        answers: list[LocalAnswer] = []
        for i in range(0, len(texts), BLOCK_ROWS):
            p = self.probabilities(texts[i : i + BLOCK_ROWS])
            best = p.argmax(axis=1)
            sure = p[np.arange(len(p)), best]
            answers += [
                LocalAnswer(self.labels[b], float(s))
                for b, s in zip(best.tolist(), sure.tolist(), strict=True)
            ]
        return answers

    def as_artefact(self) -> Artefact:
        """What is written to a file; columns no training row has are all zero and stay out."""
        used = np.flatnonzero(np.any(self.weights != 0, axis=1)).astype(np.int32)
        tensors = {"columns": used, "weights": self.weights[used], "bias": self.bias}
        if self.idf is not None:
            tensors["idf"] = self.idf
        settings = {"features": self.features.as_settings(), "temperature": self.temperature, **self.settings}
        return Artefact("classifier", settings, tensors, {"labels": self.labels})

    @classmethod
    def from_artefact(cls, found: Artefact) -> ClassifierModel:
        """The inverse of `as_artefact`. Raises ValueError, KeyError, IndexError on nonsense."""
        features = Features.from_settings(found.settings["features"])
        labels = found.texts["labels"]
        weights = np.zeros((features.size, len(labels)), dtype=np.float32)
        weights[found.tensors["columns"]] = found.tensors["weights"]
        rest = {k: v for k, v in found.settings.items() if k not in ("features", "temperature")}
        return cls(
            labels,
            weights,
            found.tensors["bias"],
            features,
            idf=found.tensors.get("idf"),
            temperature=found.settings["temperature"],
            settings=rest,
        )


class NearestModel(LocalModel):
    """The answer of the most similar stored row, by cosine of hashed, idf-weighted features.

    Shapes: rows (n stored, features.size) of length 1; answer_of (n stored,) points into `answers`.
    """

    kind = "nearest"

    def __init__(
        self,
        rows: sparse.csr_matrix,
        answers: Sequence[str],
        answer_of: np.ndarray,
        features: Features,
        *,
        idf: np.ndarray | None = None,
        settings: dict[str, Any] | None = None,
    ) -> None:
        answer_of = np.asarray(answer_of, dtype=np.int32)
        if rows.shape != (len(answer_of), features.size) or not len(answer_of):
            raise ValueError("rows do not fit the answers and features")
        if answer_of.min() < 0 or answer_of.max() >= len(answers):
            raise ValueError("an answer is missing")
        self.rows, self.answers, self.answer_of = rows.tocsr(), [str(a) for a in answers], answer_of
        self.features, self.settings = features, dict(settings or {})
        self.idf = None if idf is None else np.asarray(idf, dtype=np.float32)
        self._by_column = self.rows.T.tocsr()

    @classmethod
    def from_examples(
        cls,
        texts: Sequence[str],
        answers: Sequence[str],
        features: Features | None = None,
        *,
        settings: dict[str, Any] | None = None,
    ) -> NearestModel:
        """Remember every example. Shapes: equal lengths, at least one."""
        features = features or Features()
        counts = features.counts(texts)
        idf = fit_idf(counts)
        distinct = list(dict.fromkeys(answers))
        position = {a: i for i, a in enumerate(distinct)}
        answer_of = np.fromiter((position[a] for a in answers), dtype=np.int32, count=len(answers))
        return cls(weighted(counts, idf), distinct, answer_of, features, idf=idf, settings=settings)

    def nearest(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Position of the most similar stored row (the first among equals) and its cosine, for each text."""
        best, cosine = np.empty(len(texts), dtype=np.int64), np.empty(len(texts), dtype=np.float64)
        for i in range(0, len(texts), NEAREST_BLOCK_ROWS):
            block = self.features.matrix(texts[i : i + NEAREST_BLOCK_ROWS], self.idf)
            similar = (block @ self._by_column).toarray()
            found = similar.argmax(axis=1)
            best[i : i + len(found)] = found
            cosine[i : i + len(found)] = similar[np.arange(len(found)), found]
        return best, np.clip(cosine, 0.0, 1.0)

    def answer(self, texts: Sequence[str]) -> list[LocalAnswer]:
        """The answer of the most similar row for each text; confidence 0 when nothing is similar at all."""
        best, cosine = self.nearest(texts)
        pairs = zip(self.answer_of[best].tolist(), cosine.tolist(), strict=True)
        return [LocalAnswer(self.answers[a], c) for a, c in pairs]

    def as_artefact(self) -> Artefact:
        """What is written to a file."""
        tensors = {
            "data": self.rows.data.astype(np.float32),
            "indices": self.rows.indices.astype(np.int32),
            "indptr": self.rows.indptr.astype(np.int64),
            "answer_of": self.answer_of,
        }
        if self.idf is not None:
            tensors["idf"] = self.idf
        return Artefact(
            "nearest",
            {"features": self.features.as_settings(), **self.settings},
            tensors,
            {"answers": self.answers},
        )

    @classmethod
    def from_artefact(cls, found: Artefact) -> NearestModel:
        """The inverse of `as_artefact`. Raises ValueError, KeyError on nonsense."""
        features = Features.from_settings(found.settings["features"])
        t = found.tensors
        rows = sparse.csr_matrix(
            (t["data"], t["indices"], t["indptr"]), shape=(len(t["indptr"]) - 1, features.size)
        )
        rows.check_format(full_check=True)
        rest = {k: v for k, v in found.settings.items() if k != "features"}
        return cls(rows, found.texts["answers"], t["answer_of"], features, idf=t.get("idf"), settings=rest)


def softmax(scores: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Rows turned into probabilities. Shapes: as given, float64."""
    z = scores.astype(np.float64) / temperature
    z -= z.max(axis=1, keepdims=True)
    np.exp(z, out=z)
    return z / z.sum(axis=1, keepdims=True)


def load(source: Path | str | Blob) -> LocalModel:
    """The model in a file or blob; the last few stay in memory. Raises LocalModelFailed."""
    path = store.path(source) if isinstance(source, Blob) else Path(source)
    try:
        stat = path.stat()
    except OSError:
        raise LocalModelFailed("The trained model's file is gone. Train it again.") from None
    return _loaded(path, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=4)
def _loaded(path: Path, mtime_ns: int, size: int) -> LocalModel:
    found = artefacts.read(path)
    try:
        if found.kind == "classifier":
            return ClassifierModel.from_artefact(found)
        if found.kind == "nearest":
            return NearestModel.from_artefact(found)
        return MajorityModel(found.texts["answer"][0], found.settings["share"])
    except (KeyError, ValueError, IndexError, TypeError):
        raise LocalModelFailed("The trained model's file is damaged. Train it again.") from None
