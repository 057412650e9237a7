"""The backends of this portal: what they are called, what they take, what they cost. Fitting stands in `fitting.py`."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from datasets.training.contract import Backend, Estimate, Setting, Sizes, register_backends
from decisions.domain.facts import TaskKind
from foundation.teams.errors import Conflict

LABELLED = frozenset({TaskKind.CLASSIFY})
EVERY_TASK = frozenset(TaskKind)

_WORDS = Setting(
    "word_ngrams",
    "Longest run of words",
    "choice",
    "2",
    "Single words alone, or pairs too. Pairs tell “not working” from “working”.",
    choices=(("1", "single words"), ("2", "words and pairs"), ("3", "up to three words")),
    is_advanced=True,
)
_CHARACTERS = Setting(
    "char_ngrams",
    "Longest run of characters",
    "choice",
    "5",
    "Runs of 3 characters up to this many, inside words. They forgive misspellings.",
    choices=(("3", "3"), ("4", "3 to 4"), ("5", "3 to 5"), ("6", "3 to 6")),
    is_advanced=True,
)


@dataclass(frozen=True, slots=True)
class LocalBackend(Backend):
    """Trains here, in a child process of a worker."""

    # Measured on one 2.5 GHz core: seconds for a thousand rows, a label and a fit.
    seconds_per_row_label: float = 0.0

    def estimate(self, sizes: Sizes, settings: Mapping[str, Any]) -> Estimate:
        """Time and money a run over rows of these sizes will take; a rough figure, said as such."""
        tries = len(settings.get("c_values", (1,))) * (2 if settings.get("class_weighting") == "both" else 1)
        labels = max(2, sizes.labels)
        try_rows = min(sizes.train, max(2_000, 250_000 // labels))
        fitted_rows = tries * try_rows + sizes.train * (1 + settings.get("learning_curve", False))
        seconds = (
            3 + 0.0004 * (sizes.train + sizes.validation) + self.seconds_per_row_label * fitted_rows * labels
        )
        cost = round(seconds * self.rate_microusd_per_s)
        money = "free on this machine" if not cost else f"${cost / 1e6:.4f} of machine time"
        about = f"about {seconds:.0f} s" if seconds < 90 else f"about {seconds / 60:.0f} min"
        return Estimate(seconds, cost, f"{about}, {money}, for {sizes.train:,} training rows")

    def train(self, train: list[Any], validation: list[Any], settings: Mapping[str, Any], **rest: Any) -> Any:
        """A trained model and its figures; imports scikit-learn, so call it in a process of its own."""
        fitting = importlib.import_module("datasets.training.fitting")
        return fitting.FITTERS[self.name](train, validation, settings, **rest)


@dataclass(frozen=True, slots=True)
class HostedBackend(Backend):
    """A provider's fine-tuning. Kept in view with its settings, honest about why it cannot start."""

    def estimate(self, sizes: Sizes, settings: Mapping[str, Any]) -> Estimate:
        """Nobody can say without a provider."""
        return Estimate(None, 0, "no provider is connected, so nothing can be estimated")

    def train(self, train: list[Any], validation: list[Any], settings: Mapping[str, Any], **rest: Any) -> Any:
        """Raises Conflict: there is nobody to train."""
        raise Conflict(self.unavailable)


CLASSIFIER = LocalBackend(
    name="local-classifier",
    title="Local classifier",
    description=(
        "Logistic regression over words and characters, trained on this machine. Not a language model: if it wins, "
        "nobody needs to fine-tune one."
    ),
    tasks=LABELLED,
    schema=(
        Setting(
            "c_values",
            "Regularisation candidates (C)",
            "numbers",
            (2.0, 20.0),
            "Each is trained once; the validation rows choose. Small values keep the model plain, large ones let it "
            "learn more by heart.",
            low=0.0001,
            high=10_000,
        ),
        Setting(
            "class_weighting",
            "Rare labels",
            "choice",
            "both",
            "Whether a row of a rare label counts for more. “Try both” lets the validation rows choose.",
            choices=(("none", "count like any other"), ("balanced", "count for more"), ("both", "try both")),
        ),
        Setting(
            "learning_curve",
            "Draw the learning curve",
            "yes_no",
            True,
            "Trains on a part of the rows too, to show whether more rows would help.",
        ),
        _WORDS,
        _CHARACTERS,
        Setting(
            "min_rows",
            "Least rows with a feature",
            "integer",
            2,
            "Words and characters seen in fewer training rows are left out: they can only be learnt by heart.",
            low=1,
            high=50,
            is_advanced=True,
        ),
        Setting(
            "max_iterations",
            "Most iterations",
            "integer",
            300,
            "Where fitting stops if it has not settled.",
            low=20,
            high=5_000,
            is_advanced=True,
        ),
    ),
    seconds_per_row_label=0.00004,
)
NEAREST = LocalBackend(
    name="local-nearest",
    title="Nearest example",
    description=(
        "Answers with the answer of the most similar training row. Not a language model; the floor for tasks that want "
        "a written answer."
    ),
    tasks=EVERY_TASK,
    schema=(_WORDS, _CHARACTERS),
)
HOSTED = HostedBackend(
    name="hosted",
    title="Hosted fine-tuning",
    description="A provider trains a language model on the exported rows.",
    tasks=EVERY_TASK,
    schema=(
        Setting(
            "epochs", "Epochs", "integer", 3, "Times every row is seen. The chapter's figure.", low=1, high=50
        ),
        Setting(
            "batch_size", "Batch size", "integer", 32, "Rows a step. The chapter's figure.", low=1, high=512
        ),
        Setting(
            "learning_rate",
            "Learning rate",
            "number",
            0.0001,
            "The chapter's figure, 1e-4.",
            low=1e-7,
            high=0.1,
        ),
    ),
    unavailable=(
        "No hosted provider is connected. Claude 3 Haiku on Bedrock is past its end of life and OpenAI takes no new jobs "
        "from 6 January 2027. Export the version as JSONL to train elsewhere."
    ),
)

BACKENDS = (CLASSIFIER, NEAREST, HOSTED)
register_backends(BACKENDS)
