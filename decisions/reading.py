"""What stands now: a use case's rows turned into the values the rules work on, and two answers compared.

Reads only; changes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from django.core.exceptions import FieldDoesNotExist

from decisions.domain import flips, framework, roi, verdicts
from decisions.domain.approaches import Approach
from decisions.domain.costs import DAYS_A_MONTH, rates_with
from decisions.domain.digest import digest_of
from decisions.domain.facts import EvidenceKind, Facts
from decisions.domain.tree import Answers
from decisions.models import RoiAnalysis, UseCase
from foundation.ui.formats import MINUS, points, usd

# What a first return is worked out with when nobody has estimated a gain: the tree's own bar.
STANDARD_GAIN = Decimal("0.10")
# Measured prices of a request, and the approach whose rate each one replaces.
MEASURED_PRICES = {
    EvidenceKind.COST_PER_REQUEST: Approach.PROMPT,
    EvidenceKind.FINE_TUNED_COST_PER_REQUEST: Approach.FINE_TUNING,
}


@dataclass(frozen=True, slots=True)
class Measured:
    """The newest evidence of one kind."""

    kind: str
    label: str
    value: Any
    source: str
    as_of: datetime | None

    @property
    def text(self) -> str:
        """The value in words."""
        return plain(self.kind, self.value)


def measured_facts(use_case: UseCase) -> list[Measured]:
    """The newest evidence of each kind, in the order of `EvidenceKind`, others after it."""
    known = {kind.value: kind.label for kind in EvidenceKind}
    order = [*known, *(kind for kind in sorted(use_case.measured) if kind not in known)]
    return [
        Measured(
            kind,
            known.get(kind) or kind.replace("_", " "),
            entry["value"],
            entry["source"],
            datetime.fromisoformat(entry["as_of"]) if entry.get("as_of") else None,
        )
        for kind in order
        if (entry := use_case.measured.get(kind))
    ]


def answers_of(use_case: UseCase) -> Answers:
    """What the tree and the matrix ask: measured where somebody measured, else as the team states it."""
    measured, sources = use_case.measured, {}

    def best(name: str, kind: EvidenceKind, stated: Any) -> Any:
        entry = measured.get(kind.value)
        if entry is None or entry["value"] is None:
            return stated
        sources[name] = entry["source"]
        return entry["value"]

    gain = best("expected_gain", EvidenceKind.MEASURED_GAIN, use_case.expected_gain)
    examples = best("examples_in_hand", EvidenceKind.EXAMPLES_IN_HAND, use_case.examples_in_hand)
    solves = best("prompt_solves_it", EvidenceKind.PROMPT_SOLVES_IT, use_case.prompt_solves_it)
    latest_roi = use_case.latest_roi
    if latest_roi is not None:
        sources["roi_is_positive"] = f"ROI analysis {latest_roi.number}"
    return Answers(
        prompt_solves_it=solves,
        examples_in_hand=None if examples is None else int(examples),
        expected_gain=None if gain is None else float(gain),
        is_prototype=use_case.is_prototype,
        behaviour_changes_often=use_case.behaviour_changes_often,
        roi_is_positive=None if latest_roi is None else latest_roi.is_positive,
        sources=sources,
    )


def facts_of(use_case: UseCase) -> tuple[Facts, dict[str, str]]:
    """The fifteen facts, measured where somebody measured, and by field where a measured one comes from."""
    entry = use_case.measured.get(EvidenceKind.VOLUME_PER_DAY.value)
    if entry is None or entry["value"] is None:
        return use_case.facts, {}
    return replace(use_case.facts, volume_per_day=round(entry["value"])), {"volume_per_day": entry["source"]}


def inputs_of(use_case: UseCase) -> dict[str, Any]:
    """Everything a decision rests on, as plain JSON values: facts, answers, their sources, rates, rules."""
    facts, sources = facts_of(use_case)
    answers = answers_of(use_case)
    return {
        "rules": framework.RULES,
        "facts": facts.as_mapping(),
        "answers": {
            "prompt_solves_it": answers.prompt_solves_it,
            "examples_in_hand": answers.examples_in_hand,
            "expected_gain": answers.expected_gain,
            "is_prototype": answers.is_prototype,
            "behaviour_changes_often": answers.behaviour_changes_often,
            "roi_is_positive": answers.roi_is_positive,
        },
        "sources": {**sources, **answers.sources},
        "rates": _rates_of(use_case),
    }


def _rates_of(use_case: UseCase) -> dict[str, Any]:
    """The team's own rates with the measured prices of a request in their places."""
    rates = {approach: dict(own) for approach, own in use_case.rates.items()}
    for kind, approach in MEASURED_PRICES.items():
        entry = use_case.measured.get(kind.value)
        if entry is not None and entry["value"] is not None:
            rates.setdefault(approach.value, {})["per_request_microusd"] = round(entry["value"])
    return rates


def inputs_digest(inputs: Mapping[str, Any]) -> str:
    """One digest for inputs that lead to the same answer: neither the name nor the sources' wording counts."""
    facts = {name: value for name, value in inputs["facts"].items() if name != "name"}
    return digest_of({**{k: inputs[k] for k in ("rules", "answers", "rates")}, "facts": facts})


def report_of(inputs: Mapping[str, Any]) -> framework.Report:
    """The report of saved or present inputs."""
    answers = Answers(**inputs["answers"], sources=inputs.get("sources", {}))
    return framework.decide(Facts.from_mapping(inputs["facts"]), answers, inputs.get("rates"))


def result_of(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The whole answer to `inputs` as plain JSON: what a decision keeps and its page draws."""
    report = report_of(inputs)
    return {**framework.as_json(report), **flips.as_json(flips.find(report.facts, report.answers))}


@dataclass(frozen=True, slots=True)
class Now:
    """How the facts of today compare with the latest decision."""

    inputs: dict[str, Any]
    is_changed: bool
    # What today's facts would answer, where that is another approach; None when the answer stands.
    other: verdicts.Verdict | None


def now_of(use_case: UseCase) -> Now:
    """Whether the latest decision still says what today's facts say. Cheap when nothing changed."""
    inputs = inputs_of(use_case)
    latest = use_case.latest_decision
    if latest is None or latest.inputs_sha256 == inputs_digest(inputs):
        return Now(inputs, latest is None, None)
    verdict = report_of(inputs).verdict
    return Now(inputs, True, verdict if verdict.recommendation.value != latest.recommendation else None)


@dataclass(frozen=True, slots=True)
class Change:
    """One input that differs between two answers."""

    name: str
    before: Any
    after: Any


def changes_between(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    """The inputs that differ, in the order of the form; rates as one line each."""
    lines: list[Change] = []
    for part in ("facts", "answers"):
        for name, value in after[part].items():
            old = before[part].get(name)
            # The name moves no score; two readings of one gain differ in their last binary digit.
            if name != "name" and not _is_same(old, value):
                lines.append(Change(field_label(name), plain(name, old), plain(name, value)))
    if before.get("rates") != after.get("rates"):
        lines.append(Change("rates", "other rates", "these rates"))
    if before.get("rules") != after.get("rules"):
        lines.append(Change("rules", f"rules {before.get('rules')}", f"rules {after.get('rules')}"))
    return lines


def _is_same(old: Any, new: Any) -> bool:
    if isinstance(old, float) and isinstance(new, float):
        return math.isclose(old, new, abs_tol=1e-9)
    return bool(old == new)


def kind_label(kind: str) -> str:
    """The words for a kind of evidence, to begin a line with."""
    try:
        label = EvidenceKind(kind).label
    except ValueError:
        label = kind.replace("_", " ")
    return f"{label[0].upper()}{label[1:]}"


@dataclass(frozen=True, slots=True)
class FactLine:
    """One input of an answer in words, and where it comes from when it was measured."""

    label: str
    value: str
    source: str


def facts_in_words(inputs: Mapping[str, Any]) -> list[FactLine]:
    """Every input of an answer, in the order of the form, the name left out."""
    sources = inputs.get("sources", {})
    lines = [
        FactLine(field_label(name), plain(name, value), sources.get(name, ""))
        for part in ("facts", "answers")
        for name, value in inputs[part].items()
        if name != "name"
    ]
    return [FactLine(f"{line.label[0].upper()}{line.label[1:]}", line.value, line.source) for line in lines]


def field_label(name: str) -> str:
    """The words for an input, as the form has them."""
    if name == "roi_is_positive":
        return "return is positive"
    try:
        return str(getattr(UseCase._meta.get_field(name), "verbose_name", name))
    except FieldDoesNotExist:
        return name.replace("_", " ")


def plain(name: str, value: Any) -> str:
    """An input's value in words: yes, no, not known, or the figure."""
    if value is None:
        return "not known"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if name == "expected_gain":
        return f"{float(value):+.1%}".replace("-", MINUS)
    if name.startswith("measured_gain"):
        return points(value)
    if name.endswith("_microusd"):
        return usd(value)
    return (
        f"{value:,}" if isinstance(value, int) else f"{value:.4g}" if isinstance(value, float) else str(value)
    )


def standard_assumptions(use_case: UseCase) -> dict[str, Any]:
    """What a return would be worked out with: the team's rates, its volume, and what was measured."""
    rates = rates_with(use_case.rates)
    prompt, tuned = rates[Approach.PROMPT], rates[Approach.FINE_TUNING]

    def measured(kind: EvidenceKind, stated: Any) -> Any:
        entry = use_case.measured.get(kind.value)
        return stated if entry is None or entry["value"] is None else entry["value"]

    gain = measured(EvidenceKind.MEASURED_GAIN, None)
    if gain is None:
        gain = STANDARD_GAIN if use_case.expected_gain is None else use_case.expected_gain
    volume = int(measured(EvidenceKind.VOLUME_PER_DAY, use_case.volume_per_day))
    return {
        "monthly_volume": volume * DAYS_A_MONTH,
        "current_cost_per_request_microusd": int(
            measured(EvidenceKind.COST_PER_REQUEST, prompt.per_request_microusd)
        ),
        "fine_tuned_cost_per_request_microusd": int(
            measured(EvidenceKind.FINE_TUNED_COST_PER_REQUEST, tuned.per_request_microusd)
        ),
        "setup_cost_microusd": tuned.setup_microusd,
        "training_cost_microusd": int(measured(EvidenceKind.TRAINING_COST, tuned.training_microusd)),
        "monthly_maintenance_microusd": tuned.monthly_microusd,
        "quality_improvement": str(gain),
        "value_per_improved_microusd": use_case.value_per_improved_microusd,
        "horizon_months": roi.STANDARD_HORIZON_MONTHS,
        "retires_on": measured(EvidenceKind.BASE_MODEL_RETIRES, None),
    }


def gain_source(use_case: UseCase) -> str:
    """Where a measured gain comes from; empty while the gain is an assumption."""
    entry = use_case.measured.get(EvidenceKind.MEASURED_GAIN.value)
    return entry["source"] if entry else ""


def newer_gain(use_case: UseCase, analysis: RoiAnalysis) -> str:
    """Where a measured gain comes from that this return does not use yet; empty when there is none."""
    source = gain_source(use_case)
    return source if source and source != analysis.source else ""


@dataclass(frozen=True, slots=True)
class ReturnFigures:
    """The latest return in the few figures a business case states; money in whole micro-dollars."""

    number: int
    months: int
    total_microusd: int
    pays_back: str
    pays_back_on_cost: str
    verdict: str
    verdict_on_cost: str
    is_measured: bool
    source: str
    result: Mapping[str, Any]


def return_figures(use_case: UseCase) -> ReturnFigures | None:
    """The latest return, None where nobody has worked one out."""
    latest = use_case.latest_roi
    if latest is None:
        return None
    result = latest.result
    return ReturnFigures(
        latest.number,
        latest.months,
        result["total_value_microusd"],
        result["break_even_quality"]["text"],
        result["break_even_cost"]["text"],
        result["verdict"]["label"],
        result["verdict_cost"]["label"],
        latest.is_measured,
        latest.source,
        result,
    )


def retires_on(use_case: UseCase) -> date | None:
    """The day the base model ends, as far as it was recorded."""
    entry = use_case.measured.get(EvidenceKind.BASE_MODEL_RETIRES.value)
    try:
        return date.fromisoformat(str(entry["value"])[:10]) if entry else None
    except ValueError:
        return None
