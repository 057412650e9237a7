"""Specimens for the component gallery: made-up values that show every part in each of its states."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

from django import forms
from django.utils import timezone

from foundation.ui.charts import (
    Bar,
    Bars,
    Confusion,
    Cumulative,
    HistogramPair,
    Lines,
    Mark,
    Part,
    Point,
    Running,
    Series,
    Shares,
    bars_with_intervals,
    confusion,
    cumulative,
    histogram_pair,
    line_with_band,
    shares_chart,
)
from foundation.ui.icons import ICONS


class SpecimenForm(forms.Form):
    """One field of every kind."""

    name = forms.CharField(label="Name", help_text="What people call it. You can change it later.")
    goal = forms.CharField(
        label="What should it do?", widget=forms.Textarea(attrs={"rows": 3}), required=False
    )
    volume = forms.IntegerField(label="Requests a day", min_value=1, help_text="A rough figure is enough.")
    complexity = forms.ChoiceField(
        label="Complexity", choices=[("simple", "Simple"), ("moderate", "Moderate"), ("complex", "Complex")]
    )
    timing = forms.ChoiceField(
        label="How soon?",
        choices=[("urgent", "Urgent, within a week"), ("normal", "Normal"), ("relaxed", "Relaxed")],
        widget=forms.RadioSelect,
        help_text="Relaxed scores as normal.",
    )
    file = forms.FileField(label="A file", required=False, help_text="JSONL, CSV or TSV, up to 2 GB.")
    keep = forms.BooleanField(
        label="Skip bad rows", required=False, help_text="Every skipped row stays listed."
    )


@dataclass(frozen=True, slots=True)
class _Stage:
    key: str
    title: str


def _state(state: str, headline: str, url: str = "", action: str = "", blocker: str = "") -> SimpleNamespace:
    return SimpleNamespace(state=state, headline=headline, url=url, action=action, blocker=blocker)


def _stages(*states: SimpleNamespace) -> list[tuple[_Stage, SimpleNamespace]]:
    names = ("Decide", "Prepare", "Train", "Evaluate", "Ship", "Watch")
    return [(_Stage(name.lower(), name), state) for name, state in zip(names, states, strict=True)]


def everything() -> dict[str, Any]:
    """The context of the gallery page: one specimen of everything."""
    ship = _state("now", "Canary at 25%, next step 14:00", "#rail", "Promote to 50%")
    prepare = _state(
        "next",
        "Review 37 rows that need a person",
        "#rail",
        "Start the review",
        "12 rows have conflicting labels.",
    )
    good = SpecimenForm(
        {"name": "Support triage", "volume": "5000", "complexity": "complex", "timing": "normal"}
    )
    return {
        "now": timezone.now(),
        "icons": sorted(ICONS),
        "stages": _stages(
            _state("done", "Fine-tune, 0.15 ahead of hybrid", "#rail"),
            _state("done", "v3 · 2,184 examples · 0.86", "#rail"),
            _state("done", "triage-3 · 4 min · $11.20", "#rail"),
            _state("done", "+9.6 pts, p = 0.016", "#rail"),
            ship,
            _state("warn", "Prompt length drifting", "#rail"),
        ),
        "ship": ship,
        "early_stages": _stages(
            _state("done", "Fine-tune, 0.15 ahead of hybrid", "#rail"),
            prepare,
            _state("todo", "Needs a frozen dataset version"),
            _state("todo", "Needs a candidate"),
            _state("later", "Needs a verdict of better"),
            _state("later", "Needs traffic"),
        ),
        "prepare": (_Stage("prepare", "Prepare"), prepare),
        "facts": [
            ("total value over 12 months", "$127,600"),
            ("pays back, quality counted", "Month 1"),
            ("pays back on API cost alone", "Never", "costs rise by $84 a month"),
        ],
        "pairs": {
            "Provider": "anthropic",
            "Model": "claude-haiku",
            "Seed": "20261122",
            "Checksum": "9f2c…a1e4",
        },
        "form": SpecimenForm(initial={"timing": "normal", "complexity": "moderate"}, prefix="clean"),
        "bad_form": SpecimenForm({"name": "", "volume": "-3", "complexity": "moderate"}, prefix="bad"),
        "good_form": good,
        "before": "Please send the refund request to the billing queue within two days.",
        "after": "Please route the refund request to the refunds queue within five days.",
        "tabs": [
            ("Rows", "#tabs", True, 2184),
            ("Findings", "#tabs", False, 37),
            ("Versions", "#tabs", False, 3),
        ],
        "lineage": [
            ("Support triage", "#lineage"),
            ("tickets.csv", "#lineage"),
            ("Version 3", "#lineage", True),
            ("triage-3", "#lineage"),
            ("not shipped yet", ""),
        ],
        "parts": [("train", 1747, ""), ("validation", 219, ""), ("test", 218, "")],
        "spark": [12, 14, 13, 18, 22, 21, None, 27, 31, 30, 36],
        "snippet": 'curl http://localhost:8001/support-triage/v1/messages \\\n  -H "Authorization: Bearer ftl_…" \\\n'
        '  -d \'{"messages": [{"role": "user", "content": "Where is my refund?"}]}\'',
        "charts": charts(),
    }


def charts() -> list[Any]:
    """One of each chart, with the unpleasant cases: a gap, a negative, a whole without parts."""
    start = datetime(2026, 11, 1, tzinfo=UTC)
    days = [start + timedelta(hours=6 * i) for i in range(60)]
    waves = [0.9 + 0.02 * math.sin(i / 5) - (0.0008 * i) for i in range(60)]
    return [
        bars_with_intervals(
            Bars(
                "Refund disputes are the one queue it answers worse than the prompt",
                [
                    Bar("Billing", 0.952, 0.91, 0.98, note="84 rows"),
                    Bar("Refund disputes", 0.636, 0.35, 0.85, tone="bad", note="11 rows"),
                    Bar("Account access", 0.889, 0.80, 0.95, note="63 rows"),
                    Bar("Everything else with a name that does not fit", None),
                ],
                sub="Share answered correctly, with 95% intervals (Wilson)",
                unit="percent",
                reference=0.807,
                reference_name="best prompt 80.7%",
            )
        ),
        line_with_band(
            Lines(
                "Accuracy has fallen by five points since the release of the 6th",
                [
                    Series(
                        "triage-3",
                        [
                            Point(day, None if i in (30, 31) else y, y - 0.02, y + 0.02)
                            for i, (day, y) in enumerate(zip(days, waves, strict=True))
                        ],
                    ),
                    Series("best prompt", [Point(day, 0.81) for day in days], tone="mute", dashed=True),
                ],
                unit="percent",
                sub="Correct answers over a day, with 95% bands",
                reference=0.85,
                reference_name="guardrail 85%",
                marks=[Mark(days[20], "release 6 Nov")],
                csv_url="#charts",
            )
        ),
        line_with_band(
            Lines(
                "Validation loss stops falling after epoch 4",
                [
                    Series("training", [Point(i, 1.9 * 0.72**i + 0.11) for i in range(1, 9)]),
                    Series(
                        "validation",
                        [Point(i, 1.9 * 0.74**i + 0.32 + 0.012 * max(0, i - 4)) for i in range(1, 9)],
                        dashed=True,
                    ),
                ],
                x_name="epoch",
                sub="Cross-entropy, nats per row",
                zero=True,
            )
        ),
        histogram_pair(
            HistogramPair(
                "Prompts are getting longer: the median went from 38 to 61 words",
                [0, 20, 40, 60, 80, 100, 120, 140],
                [210, 480, 390, 160, 60, 20, 5],
                [60, 190, 310, 280, 170, 90, 30],
                before_name="training rows",
                after_name="last 7 days",
                x_name="words in the prompt",
                sub="Share of rows in each bin",
            )
        ),
        cumulative(
            Cumulative(
                "Pays back in month 1, but never on API cost alone",
                [
                    Running(
                        "with quality",
                        [-9200 + 11400 * m for m in range(13)],
                        breaks_even=0.81,
                        low=[-9200 + 9600 * m for m in range(13)],
                        high=[-9200 + 13100 * m for m in range(13)],
                    ),
                    Running("API cost only", [-9200 - 84 * m for m in range(13)], tone="mute", dashed=True),
                ],
                sub="Running total in dollars",
            )
        ),
        shares_chart(
            Shares(
                "Eight in ten rows train the model; 218 are kept sealed for the claim",
                [Part("train", 1747), Part("validation", 219), Part("test", 218)],
            )
        ),
        confusion(
            Confusion(
                "Refunds are taken for billing in 3 of 11 rows",
                ["billing", "refunds", "access", "delivery"],
                [[80, 2, 1, 1], [3, 7, 0, 1], [2, 0, 56, 5], [0, 0, 0, 0]],
                sub="Rows of the validation share",
            )
        ),
        bars_with_intervals(Bars("Nothing measured: a chart without values says so", [])),
    ]
