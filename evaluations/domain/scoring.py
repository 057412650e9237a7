"""The scorers by name: which there are, which fit a task, and what they give one row."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from decisions.domain.facts import TaskKind
from evaluations.domain import judging, metrics
from evaluations.domain.comparison import Measure

_TASK_PREFIX = re.compile(r"\A\[TASK: ([^\]\n]{1,80})\]\n")


@dataclass(frozen=True, slots=True)
class Scorer:
    """One way to score a row. `is_binary`: only 0 and 1, so that right/wrong statistics hold."""

    name: str
    title: str
    note: str
    is_binary: bool
    tasks: frozenset[TaskKind]
    needs_labels: bool = False


_EVERY = frozenset(TaskKind)
_WRITTEN = frozenset({TaskKind.ANSWER, TaskKind.WRITE, TaskKind.EXTRACT})
SCORERS: dict[str, Scorer] = {
    s.name: s
    for s in (
        Scorer(
            "label", "Correct", "the right label", True, frozenset({TaskKind.CLASSIFY}), needs_labels=True
        ),
        Scorer("json_fields", "Fields right", "F1 over the fields", False, frozenset({TaskKind.EXTRACT})),
        Scorer("json_valid", "Valid JSON", "fits the schema", True, frozenset({TaskKind.EXTRACT})),
        Scorer("token_f1", "Words in common", "token F1", False, _WRITTEN),
        Scorer("normalised_exact", "Same answer", "but for case and marks", True, _EVERY),
        Scorer("exact", "Exactly the same", "every character", True, _EVERY),
    )
}
DEFAULTS: dict[TaskKind, tuple[str, ...]] = {
    TaskKind.CLASSIFY: ("label",),
    TaskKind.EXTRACT: ("json_fields", "json_valid"),
    TaskKind.ANSWER: ("token_f1", "normalised_exact"),
    TaskKind.WRITE: ("token_f1",),
}
JUDGE_PREFIX = "judge:"


@dataclass(frozen=True, slots=True)
class Scored:
    """What the scorers gave one row; None is unscored. `predicted` is the label read, where labels are scored."""

    scores: Mapping[str, float | None] = field(default_factory=dict)
    predicted: str = ""


def scorers_for(task: TaskKind | str) -> list[Scorer]:
    """Scorers that make sense for a kind of task, its usual ones first."""
    kind = TaskKind(task)
    usual = DEFAULTS[kind]
    found = [s for s in SCORERS.values() if kind in s.tasks]
    return sorted(found, key=lambda s: usual.index(s.name) if s.name in usual else len(usual))


def title_of(name: str) -> str:
    """What people read for a scorer's name."""
    if name.startswith(JUDGE_PREFIX):
        return name.removeprefix(JUDGE_PREFIX).capitalize()
    return SCORERS[name].title if name in SCORERS else name


def is_binary(name: str) -> bool:
    """Whether a scorer gives only 0 and 1."""
    return name in SCORERS and SCORERS[name].is_binary


def score_row(
    scorers: Sequence[str],
    *,
    expected: str,
    label: str,
    output: str,
    labels: Sequence[str],
    schema: Mapping[str, Any] | None = None,
) -> Scored:
    """Scores of every scorer that needs no judge. `label` is the expected one where the row has it."""
    scores: dict[str, float | None] = {}
    predicted = metrics.read_label(output, labels) if "label" in scorers else ""
    want = label or expected
    for name in scorers:
        if name == "label":
            scores[name] = float(predicted == want) if want else None
        elif name == "exact":
            scores[name] = metrics.exact(want, output)
        elif name == "normalised_exact":
            scores[name] = metrics.normalised_exact(want, output)
        elif name == "token_f1":
            scores[name] = metrics.token_f1(want, output)
        elif name == "json_valid":
            scores[name] = metrics.json_valid(output, schema)
        elif name == "json_fields":
            scores[name] = metrics.json_fields(expected, output)
    return Scored(scores, predicted)


def judge_names(judge_metrics: Sequence[str]) -> list[str]:
    """Scorer names of a judge's metrics."""
    return [JUDGE_PREFIX + metric for metric in judge_metrics]


def degenerate_scores(judge_metrics: Sequence[str]) -> dict[str, float]:
    """What an answer that says nothing gets without asking a judge."""
    return {JUDGE_PREFIX + metric: 0.0 for metric in judge_metrics}


def measures_for(
    scorers: Sequence[str], *, has_labels: bool, has_cost: bool, has_latency: bool
) -> list[Measure]:
    """What a comparison measures, the primary scorer first; judges say so in their note."""
    found = []
    for name in scorers:
        judged = name.startswith(JUDGE_PREFIX)
        note = "judge" if judged else ("paired, McNemar" if is_binary(name) else SCORERS[name].note)
        found.append(Measure(name, title_of(name), "binary" if is_binary(name) else "mean", note=note))
    if has_labels and "label" in scorers:
        found.insert(1, Measure("macro_f1", "Macro F1", "macro_f1", note="every label counts the same"))
    if has_latency:
        found.append(Measure("latency", "Latency p95", "p95", "ms", False, "lower is better"))
    if has_cost:
        found.append(
            Measure("cost", "Cost per 1,000", "mean", "microusd", False, "list price, lower is better")
        )
    return found


def task_name(prompt: str) -> str:
    """The task a multi-task row belongs to, from its "[TASK: name]" prefix; "" without one (S45, S62)."""
    found = _TASK_PREFIX.match(prompt)
    return found.group(1).strip() if found else ""


def is_judged_already(output: str) -> bool:
    """Whether no judge need be asked, because the answer says nothing."""
    return judging.is_degenerate(output)
