"""How often a version was right lately, against its evaluation. Both sides carry intervals. Knows no table, no clock."""

from __future__ import annotations

from dataclasses import dataclass, field

from deployments.domain.sequential import Count, shares_once, wilson

# S74, S75: a relative drop above 5 % asks for retraining.
THRESHOLD = 0.05
MIN_JUDGED = 50
# Fewer milliseconds more are nobody's trouble, however large a part of very little they are.
NOTICED_MS = 20
# Rounding: 0.90 to 0.855 is exactly 5 %, which is not above it (D28).
CLOSE = 1e-9


@dataclass(frozen=True, slots=True)
class Lately:
    """What recent answers came to. None is not known, never 0."""

    judged: Count
    p50_ms: float | None = None
    p95_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """holding, degraded, unsure, too few or no baseline; with every figure it rests on."""

    state: str
    finding: str
    accuracy: float | None = None
    low: float | None = None
    high: float | None = None
    change: float | None = None
    change_low: float | None = None
    change_high: float | None = None
    relative_drop: float | None = None
    advice: list[str] = field(default_factory=list)


def judge(
    lately: Lately,
    baseline: Count | None,
    *,
    threshold: float = THRESHOLD,
    min_judged: int = MIN_JUDGED,
    baseline_ms: float | None = None,
) -> Verdict:
    """Degraded when the relative drop exceeds the threshold AND the interval of the change excludes none at all.

    A drop above the threshold that chance may explain is unsure. Without a baseline or with too little feedback
    nothing is said (D28: a missing figure read as a drop of 100 %).
    """
    n = lately.judged.n
    share = lately.judged.share
    low, high = wilson(lately.judged.hits, n) if n else (None, None)
    if n < min_judged:
        return Verdict(
            "too few",
            f"{n:,} answers were judged; {min_judged:,} are needed to say anything.",
            share,
            low,
            high,
            advice=["Send feedback on more answers: the right label is enough."],
        )
    if baseline is None or not baseline.n or not baseline.hits or share is None:
        return Verdict(
            "no baseline",
            "The version was never evaluated, so there is nothing to compare with.",
            share,
            low,
            high,
            advice=["Evaluate the version's candidate on frozen rows."],
        )
    before = baseline.hits / baseline.n
    change = shares_once(baseline, lately.judged)
    drop = (before - share) / before
    assert change is not None
    figures = (share, low, high, change.value, change.low, change.high, drop)
    words = f"{share:.1%} of {n:,} judged answers were right, {before:.1%} in its evaluation"
    advice = []
    slower = (lately.p50_ms or 0) - (baseline_ms or 0)
    if baseline_ms and lately.p50_ms and lately.p50_ms > baseline_ms * 1.5 and slower >= NOTICED_MS:
        advice.append(f"Typical latency is {lately.p50_ms:,.0f} ms, it was {baseline_ms:,.0f} ms.")
    if drop > threshold + CLOSE and change.high < 0:
        advice = [
            "Retrain with the judged answers, and evaluate against production.",
            "Look at the drift check: requests may have changed.",
            *advice,
        ]
        return Verdict("degraded", f"{words}: a relative drop of {drop:.1%}.", *figures, advice)
    if drop > threshold + CLOSE:
        advice = ["Wait for more feedback; chance may explain it.", *advice]
        return Verdict("unsure", f"{words}; with {n:,} answers that may be chance.", *figures, advice)
    return Verdict("holding", f"{words}.", *figures, advice or ["Nothing to do."])
