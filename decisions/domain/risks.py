"""What could go wrong with a decision, read off its own figures: each risk with what to do about it.

Pure. Names no risk that the figures do not show; `today` comes from the caller.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from decisions.domain.approaches import EFFORT, Approach
from decisions.domain.standing import MarginClass, margin_class
from decisions.domain.verdicts import listed

# A base model that ends sooner than this takes what was trained on it along before it has paid.
SOON_DAYS = 365
FLIPS_NAMED = 3


@dataclass(frozen=True, slots=True)
class Risk:
    """One thing that could go wrong, and what answers it. `tone` is "bad", "warn" or "" (to be known)."""

    tone: str
    text: str
    then: str


def risks(
    result: Mapping[str, Any],
    inputs: Mapping[str, Any],
    roi: Mapping[str, Any] | None,
    *,
    retires_on: date | None,
    today: date,
) -> tuple[Risk, ...]:
    """The risks of one decision, the gravest first. `result` and `inputs` are a saved decision's, `roi` a return's."""
    approach = Approach(result["verdict"]["recommendation"])
    trains = approach in (Approach.FINE_TUNING, Approach.HYBRID)
    found = [
        *_of_the_lead(result, approach),
        *(_of_the_base_model(retires_on, today) if trains else []),
        *_of_the_gain(inputs, trains=trains),
        *(_of_the_return(roi) if trains else []),
        *_of_open_questions(result),
        *_of_changing_knowledge(inputs, approach),
        Risk(
            "",
            f"Upkeep: {EFFORT[approach].upkeep.lower()}. {EFFORT[approach].upkeep_why}",
            "Name who does it.",
        ),
    ]
    weight = {"bad": 0, "warn": 1, "": 2}
    return tuple(sorted(found, key=lambda risk: weight[risk.tone]))


def _of_the_lead(result: Mapping[str, Any], approach: Approach) -> list[Risk]:
    found = []
    lead = margin_class(result["verdict"]["margin"])
    if lead in (MarginClass.TIE, MarginClass.NARROW):
        found.append(Risk("warn", f"{approach.label} is {lead.label}.", "Look again when a fact changes."))
    for away in result.get("one_away", []):
        whens = away["whens"][:FLIPS_NAMED]
        more = len(away["whens"]) - len(whens)
        rest = f", and {more} more" if more > 0 else ""
        found.append(
            Risk(
                "warn",
                f"It would be {away['inline']} when {', or '.join(whens)}{rest}.",
                "Check these facts first.",
            )
        )
    return found


def _of_the_base_model(retires_on: date | None, today: date) -> list[Risk]:
    if retires_on is None:
        return [
            Risk(
                "",
                "No base model is chosen, so nobody knows when it retires.",
                "Choose one with a known date.",
            )
        ]
    days = (retires_on - today).days
    when = f"{retires_on.day} {retires_on:%b %Y}"
    if days < 0:
        return [
            Risk(
                "bad", f"The base model retired on {when}.", "Choose another base before anything is trained."
            )
        ]
    if days <= SOON_DAYS:
        return [
            Risk("warn", f"The base model retires on {when}, in {days} days.", "Count on training once more.")
        ]
    return [Risk("", f"The base model retires on {when}.", "Plan the next training before it.")]


def _of_the_gain(inputs: Mapping[str, Any], *, trains: bool) -> list[Risk]:
    gain = inputs["answers"]["expected_gain"]
    if not trains or "expected_gain" in inputs["sources"]:
        return []
    if gain is None:
        return [
            Risk(
                "warn",
                "Nobody has estimated the gain over the best prompt.",
                "Evaluate the best prompt first.",
            )
        ]
    return [Risk("warn", f"The gain of {gain:+.1%} is an assumption.", "Measure it before money is spent.")]


def _of_the_return(roi: Mapping[str, Any] | None) -> list[Risk]:
    if roi is None:
        return [Risk("warn", "The return is not worked out.", "Work it out.")]
    found = []
    if roi.get("break_even_cost", {}).get("kind") == "never":
        found.append(
            Risk(
                "warn",
                "It never pays back on cost alone.",
                "Agree what a better answer is worth, and who says so.",
            )
        )
    if roi.get("rests_on_value") and (text := roi.get("flip_value_text")):
        found.append(
            Risk(
                "warn",
                f"The return turns where a better answer is worth {text}.",
                "Have that worth confirmed.",
            )
        )
    return found


def _of_open_questions(result: Mapping[str, Any]) -> list[Risk]:
    asked = [step["question"] for step in result["tree"]["steps"] if step["answer"] == "open"]
    if not asked:
        return []
    words = listed([f"“{question}”" for question in asked])
    return [Risk("warn", f"Open in the decision tree: {words}", "Answer it before training is paid for.")]


def _of_changing_knowledge(inputs: Mapping[str, Any], approach: Approach) -> list[Risk]:
    if not inputs["facts"]["data_changes_frequently"] or approach not in (
        Approach.FINE_TUNING,
        Approach.HYBRID,
    ):
        return []
    return [
        Risk(
            "warn",
            "The knowledge changes often; what was trained in ages.",
            "Keep facts in the index, not in the weights.",
        )
    ]
