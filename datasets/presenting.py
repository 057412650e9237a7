"""What pages of this app share: where something came from, what to do next, charts. Formats, decides nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from django.urls import NoReverseMatch, reverse
from django.utils.safestring import SafeString

from datasets.domain.power import WANTED_POWER, mcnemar_power, power_in_words, rows_needed, wilson
from datasets.domain.review import SHARE, covers
from datasets.domain.splitting import Strategy
from datasets.domain.stats import EDGES
from datasets.domain.statuses import Split
from datasets.models import Dataset, DatasetVersion, Example, Finding, Review
from foundation.ui import charts
from foundation.ui.formats import grouped, percent

# Nobody said which version is the newest: it is looked up.
_UNTOLD = DatasetVersion()


def lineage(
    dataset: Dataset, version: DatasetVersion | None = None, *, newest: DatasetVersion | None = _UNTOLD
) -> list[tuple[str, str, bool]]:
    """Use case → dataset → version: the one shown, else a link to the newest frozen one, given or looked up."""
    use_case = dataset.use_case
    items = [
        (f"Use case: {use_case.name}", reverse("decisions:use-case-detail", args=[use_case.pk]), False),
        (f"Dataset: {dataset.name}", reverse("datasets:dataset-detail", args=[dataset.pk]), version is None),
    ]
    if version is not None:
        items.append(
            (f"Version {version.number}", reverse("datasets:version-detail", args=[version.pk]), True)
        )
        return items
    if newest is _UNTOLD:
        # Without "dataset" Django would ask for the row once more to tie it to its dataset.
        newest = dataset.versions.frozen().only("pk", "number", "dataset").first()
    if newest is None:
        return [*items, ("No version yet", "", False)]
    items.append((f"Version {newest.number}", reverse("datasets:version-detail", args=[newest.pk]), False))
    return items


@dataclass(frozen=True, slots=True)
class Next:
    """The one next step of a dataset: what and why, the words on the button, where. `post` means press, not go."""

    headline: str
    action: str = ""
    url: str = ""
    post: bool = False


def next_of(
    dataset: Dataset,
    *,
    findings: Iterable[Finding],
    review: Review | None,
    version: DatasetVersion | None,
    is_busy: bool,
    draft_url: str = "",
) -> Next:
    """What a person should do now. Reads only what it is given."""
    pk = dataset.pk
    if dataset.archived_at is not None:
        return Next("This dataset is archived.")
    if is_busy:
        return Next("Work is under way. This page shows how far it is.")
    if draft_url:
        return Next(
            "A file is staged. Look at its columns, then import it.", "Look at the preview", draft_url
        )
    if not dataset.n_active:
        return Next(
            "Bring in a file. Nothing shows until you have seen a preview.",
            "Import a file",
            reverse("datasets:import-create", args=[pk]),
        )
    if dataset.checks is None or not dataset.checks_are_current:
        words = (
            "The rows changed since they were checked."
            if dataset.checks
            else "The rows were not checked yet."
        )
        if version is None or version.created_at < dataset_changed(dataset):
            return Next(words, "Check the rows", reverse("datasets:dataset-check", args=[pk]), post=True)
    errors = [f for f in findings if f.severity == "error" and f.standing is None and f.n_fixable]
    if errors:
        return Next(
            f"{errors[0].headline}. Mend it, or leave it on purpose.",
            "Look at the finding",
            reverse("datasets:finding-detail", args=[errors[0].pk]),
        )
    if review is None or not review.n_total:
        return Next(
            "Look at a sample of the rows before you trust them.",
            "Start the review",
            reverse("datasets:review-create", args=[pk]),
            post=True,
        )
    if not review.is_finished:
        return Next(
            f"{grouped(review.n_left)} of {grouped(review.n_total)} rows of the sample are left to look at.",
            "Go on reviewing",
            reverse("datasets:review-detail", args=[review.pk]),
        )
    if version is None and not covers(review.n_drawn, dataset.n_active):
        return Next(
            f"The last review took {grouped(review.n_drawn)} of the {grouped(dataset.n_active)} rows there are now. "
            f"{SHARE:.0%} are asked for.",
            "Start the review",
            reverse("datasets:review-create", args=[pk]),
            post=True,
        )
    if version is None or not version.is_frozen:
        return Next(
            "The rows are checked and reviewed. Freeze them into a version.",
            "Freeze a version",
            reverse("datasets:version-create", args=[pk]),
        )
    return Next(
        f"Version {version.number} is frozen: {grouped(version.n_rows)} rows.",
        f"Open version {version.number}",
        reverse("datasets:version-detail", args=[version.pk]),
    )


def sides(one: Mapping[str, Any], other: Mapping[str, Any]) -> tuple[str, str]:
    """Two states of a row as texts to compare: system prompt and label are named where either has one."""
    parts: list[tuple[str, str]] = []
    for name, words in (
        ("system", "System prompt: "),
        ("prompt", ""),
        ("completion", ""),
        ("label", "Label: "),
    ):
        pair = (str(one.get(name) or ""), str(other.get(name) or ""))
        if name in one and (not words or any(pair)):
            parts.append((f"{words}{pair[0]}", f"{words}{pair[1]}"))
    return "\n\n".join(a for a, _ in parts), "\n\n".join(b for _, b in parts)


def conflict(example: Example, given: Mapping[str, Any]) -> dict[str, str]:
    """What a person wrote against the row as somebody else left it."""
    content = example.content
    now = {
        "system": content.system,
        "prompt": content.prompt,
        "completion": content.completion,
        "label": example.label,
    }
    mine, theirs = sides(given, now)
    return {"mine": mine, "theirs": theirs}


def dataset_changed(dataset: Dataset) -> Any:
    """When the shown report was made: rows changed after it. Without a report, when the dataset was made."""
    return dataset.checks.finished_at if dataset.checks else dataset.created_at


def lengths_chart(stats: dict[str, Any]) -> SafeString | str:
    """Prompt and answer lengths over the same bins."""
    prompt, completion = stats.get("prompt") or {}, stats.get("completion") or {}
    if not prompt.get("max"):
        return ""
    last = max(
        (i for i, n in enumerate(prompt["histogram"]) if n),
        default=0,
    )
    last = max(last, max((i for i, n in enumerate(completion["histogram"]) if n), default=0))
    edges = [
        *EDGES[: last + 1],
        EDGES[last + 1] if last + 1 < len(EDGES) else max(prompt["max"], completion["max"], 100_000),
    ]
    return charts.histogram_pair(
        charts.HistogramPair(
            title=f"Half of the prompts have at most {grouped(prompt['median'])} characters",
            edges=edges,
            before=prompt["histogram"][: last + 1],
            after=completion["histogram"][: last + 1],
            before_name="Prompts",
            after_name="Answers",
            unit="characters",
            x_name="Characters",
            even=True,
            sub="Share of the rows; each bin is about twice as long as the one before",
        )
    )


def power_chart(n_test: int, *, mark: str = "this version") -> SafeString:
    """Power against the number of test rows, with a mark where the version stands."""
    needed = rows_needed()
    top = max(2 * needed, min(n_test, 500), 300)
    xs = sorted({0, *range(25, top + 1, 25), needed, min(n_test, top)})
    power = mcnemar_power(n_test) if n_test else 0.0
    if not n_test:
        title = "Without test rows nothing can be seen"
    elif power < WANTED_POWER:
        title = (
            f"{grouped(n_test)} test rows are too few to see 75% → 85%: power {power_in_words(power)}, "
            f"{grouped(needed)} rows have {power_in_words(WANTED_POWER)}"
        )
    else:
        title = f"{grouped(n_test)} test rows see 75% → 85% with {power_in_words(power)} power"
    return charts.line_with_band(
        charts.Lines(
            title=title,
            series=[charts.Series("Power", [charts.Point(x, mcnemar_power(x)) for x in xs])],
            unit="percent",
            x_name="Test rows",
            zero=True,
            reference=WANTED_POWER,
            reference_name="80%",
            # Power changes no more where the axis ends; a mark out there says that it stands further on.
            marks=[
                charts.Mark(n_test, mark) if n_test <= top else charts.Mark(top, f"{mark}: further right")
            ],
        )
    )


def parts_chart(version: DatasetVersion) -> SafeString:
    """How the rows went into the splits, as one bar."""
    parts = (("train", version.n_train), ("validation", version.n_validation), ("test", version.n_test))
    n = sum(count for _, count in parts)
    title = (
        f"{grouped(version.n_train)} of {grouped(n)} rows teach, {grouped(version.n_validation)} choose the settings, "
        f"{grouped(version.n_test)} are kept for the test"
    )
    return charts.shares_chart(
        charts.Shares(title=title, parts=[charts.Part(name.capitalize(), count) for name, count in parts])
    )


def empty_splits(version: DatasetVersion) -> str:
    """Which splits got no row though the recipe gave them a share, why, and what to do; "" where none is missing."""
    ratios = (version.recipe or {}).get("ratios")
    if not version.is_frozen or not ratios:
        return ""
    counts = (version.n_train, version.n_validation, version.n_test)
    names = ("training", "validation", "test")
    missing = [
        name for name, share, n in zip(names, ratios, counts, strict=True) if Fraction(share) > 0 and not n
    ]
    if not missing:
        return ""
    largest = ((version.report or {}).get("units") or {}).get("largest", 1)
    if 2 * largest > version.n_rows > 1:
        return (
            f"No row went to {' and '.join(missing)}: {grouped(largest)} of the {grouped(version.n_rows)} rows are alike "
            "or of one group, and what belongs together stays in one split. Take the near-duplicates out, or bring in "
            "rows that differ, then freeze again."
        )
    rows = "1 row is" if version.n_rows == 1 else f"{grouped(version.n_rows)} rows are"
    return f"No row went to {' and '.join(missing)}: {rows} too few for it. Bring in more rows, then freeze again."


# Kinds of difference between two versions, in words that follow "rows".
DIFFERENCES = {
    "added": ("was added", "were added"),
    "removed": ("was removed", "were removed"),
    "changed": ("was changed", "were changed"),
    "moved": ("moved to another split", "moved to another split"),
}


def diff_chart(counts: dict[str, int]) -> SafeString:
    """What two versions share and how they differ, as one bar; the largest differences are its finding."""
    said = [
        f"{grouped(counts[kind])} {words[counts[kind] != 1]}"
        for kind, words in DIFFERENCES.items()
        if counts[kind]
    ]
    same = f"{grouped(counts['same'])} {'is' if counts['same'] == 1 else 'are'} the same"
    title = f"Of the rows, {', '.join(said)}; {same}" if said else f"No row differs: {same} in both"
    tones = {"same": "mute", "added": "good", "removed": "bad", "changed": "warn", "moved": ""}
    parts = [charts.Part(kind.capitalize(), counts[kind], tone) for kind, tone in tones.items()]
    return charts.shares_chart(charts.Shares(title=title, parts=parts))


LEAKS = (
    ("exact", "The same row"),
    ("loose", "The same but for formatting"),
    ("near", "Near-duplicates"),
    ("prompt", "The same prompt"),
    ("group", "The same group"),
)


# What a press on the version's page can do about a leak: (repair, words on the button).
REPAIRS = {
    "prompt": (("drop-prompt", "Leave out of training"),),
    "group": (("group", "Keep groups together"), ("drop-group", "Leave out of training")),
    "time": (("time", "Split by time"), ("drop-time", "Leave out of training")),
}


def leak_rows(version: DatasetVersion) -> list[dict[str, Any]]:
    """Each kind of leakage with its counts and what can be done about it."""
    leaks = (version.report or {}).get("leakage") or {}
    repairs = REPAIRS
    if is_mix := "mix" in (version.recipe or {}):
        # A mix keeps the splits of its versions: rows can be left out, not moved.
        repairs = {
            kind: tuple(one for one in offered if one[0].startswith("drop-"))
            for kind, offered in REPAIRS.items()
        }
    rows = [
        {
            "name": name,
            "n_groups": (leaks.get(kind) or {}).get("n_groups", 0),
            "n_rows": (leaks.get(kind) or {}).get("n_rows", 0),
            "examples": [
                key for group in (leaks.get(kind) or {}).get("examples", [])[:2] for key in group[:3]
            ],
            "repairs": repairs.get(kind, ()) if (leaks.get(kind) or {}).get("n_groups") else (),
        }
        for kind, name in LEAKS
    ]
    if leaks.get("has_times"):
        n, by_time = leaks.get("n_from_the_future", 0), (version.recipe or {}).get("strategy") == "time"
        rows.append(
            {
                "name": "Training rows newer than the oldest test row",
                "note": "to be expected: the split does not go by time"
                if n and not by_time and not is_mix
                else "by the clock of each task"
                if n and is_mix
                else "",
                "n_groups": None,
                "n_rows": n,
                "examples": [],
                "repairs": repairs["time"][int(by_time) :] if n else (),
            }
        )
    return rows


def recipe_words(recipe: dict[str, Any]) -> list[tuple[str, str]]:
    """The recipe of a version as names and words."""
    if not recipe:
        return []
    if mix := recipe.get("mix"):
        return _mix_words(recipe, mix)
    shares = " / ".join(f"{float(Fraction(share)) * 100:g}" for share in recipe["ratios"])
    return [
        ("Seed", recipe["seed"]),
        ("Split", Strategy(recipe["strategy"]).label),
        ("Train / validation / test, %", shares),
        ("Test raised by power", "yes" if recipe["size_test_by_power"] else "no"),
        ("Groups kept together", "yes" if recipe["keep_groups"] else "no"),
        ("Near-duplicate from a likeness of", f"{recipe['near_threshold']:g}"),
        *([("Folds", str(recipe["n_folds"]))] if recipe.get("n_folds") else []),
        *(
            [("Test drawn from fresh rows", f"not from {len(recipe['fresh_after'])} earlier versions")]
            if recipe.get("fresh_after")
            else []
        ),
        *_left_out_words(recipe),
        ("Task", recipe["task_kind"]),
    ]


def _mix_words(recipe: dict[str, Any], mix: dict[str, Any]) -> list[tuple[str, str]]:
    """Of a mix the splits are those of its versions: it has no ratios or strategy of its own."""
    temperature = mix.get("temperature")
    return [
        ("Seed", recipe["seed"]),
        ("Mixed of", ", ".join(one["task"] for one in mix.get("tasks") or [])),
        ("Splits", "as they are in each of them"),
        *([("Temperature of the training rows", f"{temperature:g}")] if temperature is not None else []),
        ("Training rows of one task, at most", grouped(mix["most"]) if mix.get("most") else "no cap"),
        *_left_out_words(recipe),
        ("Task", recipe["task_kind"]),
    ]


def _left_out_words(recipe: dict[str, Any]) -> list[tuple[str, str]]:
    kinds = ", ".join(recipe.get("drop_leaks") or ())
    return [("Left out of training", f"what shares with the test: {kinds}")] if kinds else []


def train_url(version: DatasetVersion) -> str:
    """Where a training run on this version is begun; empty while it is not frozen or no such page is mounted."""
    if not version.is_frozen:
        return ""
    try:
        return reverse("training:run-new", args=[version.pk])
    except NoReverseMatch:
        return ""


@dataclass(frozen=True, slots=True)
class LabelRow:
    """One label of a version: its rows in each split, and its share of the whole and of the test."""

    label: str
    whole: int
    train: int
    validation: int
    test: int
    share: float
    test_share: float


def label_rows(report: dict[str, Any]) -> list[LabelRow]:
    """The label distribution of the splits against the whole, largest label first."""
    spread = report.get("distribution") or {}
    whole = spread.get("whole") or {}
    parts = {split.value: spread.get(split.value) or {} for split in Split}
    total, n_test = sum(whole.values()), sum(parts["test"].values())
    return [
        LabelRow(
            label,
            n,
            parts["train"].get(label, 0),
            parts["validation"].get(label, 0),
            parts["test"].get(label, 0),
            n / total if total else 0.0,
            parts["test"].get(label, 0) / n_test if n_test else 0.0,
        )
        for label, n in sorted(whole.items(), key=lambda item: (-item[1], item[0]))
    ]


MOST_BARS = 15


def labels_chart(rows: list[LabelRow]) -> SafeString | str:
    """The share of each label in the test with its interval, the share of the whole beside it; the largest labels."""
    n_test = sum(row.test for row in rows)
    if not n_test:
        return ""
    apart = max(rows, key=lambda row: abs(row.test_share - row.share))
    gap = 100 * abs(apart.test_share - apart.share)
    bars = []
    for row in rows[:MOST_BARS]:
        low, high = wilson(row.test, n_test)
        bars.append(
            charts.Bar(
                row.label, row.test_share, low, high, note=f"{percent(row.share, 1)} of all", mark=row.share
            )
        )
    shown = "" if len(rows) <= MOST_BARS else f", the {MOST_BARS} largest of {grouped(len(rows))} labels"
    return charts.bars_with_intervals(
        charts.Bars(
            title=f"No label of the test is more than {gap:.1f} points from its share of the whole",
            sub=f"Share of {grouped(n_test)} test rows with 95% intervals{shown}",
            unit="percent",
            bars=bars,
            bar_name="share of the test",
            mark_name="share of the whole",
        )
    )
