"""What one evaluation found, in a sentence with its interval and its number of rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from foundation.ui.formats import grouped, percent


def tell_evaluation(
    *, name: str, primary: str, figure: Mapping[str, Any], classification: Mapping[str, Any] | None, on: str
) -> tuple[str, str]:
    """Headline and detail. `figure` is an average with n, mean, low, high; `on` names the rows."""
    mean = figure.get("mean")
    if mean is None:
        return f"No row of the {on} could be scored.", "The reasons stand below; nothing counts as 0."
    interval = f"{percent(figure['low'], 1)} to {percent(figure['high'], 1)}, 95%"
    n = grouped(figure["n"])
    if classification:
        headline = f"{name} is right in {percent(mean, 1)} of {n} {on}."
        parts = [f"The interval is {interval}."]
        share, label = classification.get("majority_share"), classification.get("majority_label")
        if share is not None:
            parts.append(f"Always answering “{label}” would be right in {percent(share, 1)}.")
        weak = weakest(classification)
        if weak:
            parts.append(f"It is weakest on {weak}.")
        return headline, " ".join(parts)
    return f"{name} reaches {percent(mean, 1)} in “{primary}” over {n} {on}.", f"The interval is {interval}."


def weakest(classification: Mapping[str, Any], *, least_rows: int = 5) -> str:
    """The label with the lowest F1 among those with enough rows, in words; "" when all are alike."""
    known = [c for c in classification["classes"] if c["support"] >= least_rows and c["f1"] is not None]
    if len(known) < 2:
        return ""
    worst = min(known, key=lambda c: (c["f1"], c["label"]))
    if worst["f1"] >= 0.995:
        return ""
    return f"“{worst['label']}” ({worst['right']} of {worst['support']} right)"
