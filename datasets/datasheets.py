"""The datasheet of a version from what was frozen with it; where an old version kept less, from what stands now."""

from __future__ import annotations

from typing import Any

from django.db.models import Count, Q

from datasets.domain.datasheet import Datasheet, Section
from datasets.domain.leakage import leaks_of
from datasets.domain.rules import RULES
from datasets.domain.statuses import Split
from datasets.models import Dataset, DatasetVersion, Edit, Fix, Import
from datasets.presenting import recipe_words
from foundation.ui.formats import grouped, percent

MOST_LABELS = 200


def about(dataset: Dataset) -> dict[str, Any]:
    """What a version keeps of its dataset as it was: purpose, licence, sources, what was done to the rows."""
    imports = (
        Import.objects.filter(dataset=dataset).visible_rows().select_related("blob").order_by("id")[:100]
    )
    fixes = Fix.objects.filter(dataset=dataset, undone_at=None).order_by("id")[:100]
    edits = Edit.objects.filter(example__dataset=dataset, undone_at=None, fix=None).aggregate(
        n=Count("id"), people=Count("by", distinct=True, filter=~Q(by=None))
    )
    return {
        "dataset": dataset.name,
        "description": dataset.description,
        "licence": dataset.licence,
        "use_case": dataset.use_case.name,
        "motivation": dataset.use_case.description,
        "sources": [
            {
                "name": row.name,
                "kind": row.source,
                "rows": row.n_good,
                "left_out": row.n_bad,
                "sha256": row.blob.sha256,
                "at": row.finished_at.isoformat() if row.finished_at else "",
            }
            for row in imports
        ],
        "cleaning": [
            {"rule": row.rule, "action": row.action, "rows": row.n_rows, "at": row.at.isoformat()}
            for row in fixes
        ],
        "edits": edits,
        "dropped": dataset.n_dropped,
        "rejected": dataset.n_rejected,
    }


SOURCES, CLEANING, REVIEWERS = "Where does it come from?", "What was done to it?", "Who looked at it?"
MIXED = "The datasheets of the versions it is mixed of tell that of their rows."


def datasheet_of(version: DatasetVersion) -> Datasheet:
    """The datasheet of a frozen version."""
    report = version.report or {}
    known = report.get("about") or about(version.dataset)
    facts = [
        ("Version", str(version.number)),
        ("Checksum", version.checksum),
        ("Frozen", f"{version.frozen_at:%Y-%m-%d %H:%M} UTC" if version.frozen_at else ""),
        ("Rows", grouped(version.n_rows)),
        ("Licence", known.get("licence") or "not stated"),
        ("Use case", known.get("use_case", "")),
        ("Task", version.task_kind),
    ]
    if "mix" in (version.recipe or {}):
        # The dataset of a mix has no import, fix or review of its own: "none" would not be so.
        sources, cleaning, reviewers = (Section(title, (MIXED,)) for title in (SOURCES, CLEANING, REVIEWERS))
    else:
        sources, cleaning = _sources(known), _cleaning(known, report)
        reviewers = _reviewers(version, report)
    sections = [
        _motivation(known),
        _composition(version),
        sources,
        cleaning,
        _splits(version, report),
        _problems(report),
        reviewers,
    ]
    return Datasheet(
        f"Datasheet: {known.get('dataset', '')}, version {version.number}", tuple(facts), tuple(sections)
    )


def _motivation(known: dict[str, Any]) -> Section:
    sentences = [
        known.get("motivation") or "The use case says no more than its name.",
        known.get("description", ""),
    ]
    return Section("Why was it made?", tuple(s for s in sentences if s))


def _composition(version: DatasetVersion) -> Section:
    numbers = version.stats or {}
    prompt, answer = numbers.get("prompt") or {}, numbers.get("completion") or {}
    labels = list((numbers.get("labels") or {}).items())
    one = "text with its label" if version.task_kind == "classify" else "question with its answer"
    sentences = [
        f"{grouped(version.n_rows)} rows, each a {one}.",
        f"Prompts have {grouped(prompt.get('min'))} to {grouped(prompt.get('max'))} characters, half of them at most "
        f"{grouped(prompt.get('median'))}; answers {grouped(answer.get('min'))} to {grouped(answer.get('max'))}.",
    ]
    synthetic = (version.report or {}).get("synthetic")
    if synthetic:
        n = sum(synthetic.values())
        sentences.append(
            f"{grouped(n)} rows ({percent(n / max(1, version.n_rows), 1)}) were written by a model; none is in the test."
        )
        if n_shown := ((version.report or {}).get("written_from") or {}).get(Split.TEST, 0):
            rows = "1 test row was" if n_shown == 1 else f"{grouped(n_shown)} test rows were"
            sentences.append(
                f"{rows} shown to that model as an example, so figures of the labels it wrote for may flatter."
            )
    if len(labels) > MOST_LABELS:
        sentences.append(f"The table shows the {MOST_LABELS} most frequent of {grouped(len(labels))} labels.")
    total = sum(n for _, n in labels)
    table = (
        ("Label", "Rows", "Share"),
        *((name, grouped(n), percent(n / total, 1)) for name, n in labels[:MOST_LABELS]),
    )
    return Section("What is in it?", tuple(sentences), table if labels else ())


def _sources(known: dict[str, Any]) -> Section:
    rows = known.get("sources") or []
    table = (
        ("Source", "Kind", "Rows", "Rows that could not be read", "SHA-256 of the file"),
        *((s["name"], s["kind"], grouped(s["rows"]), grouped(s["left_out"]), s["sha256"]) for s in rows),
    )
    return Section(SOURCES, () if rows else ("No import is on record.",), table if rows else ())


def _cleaning(known: dict[str, Any], report: dict[str, Any]) -> Section:
    out = report.get("left_out") or {}
    edits = known.get("edits") or {}
    sentences = [
        "Spaces at the ends and different forms of the same letters were made equal on import.",
        f"{grouped(known.get('dropped', 0))} rows were dropped by fixes and {grouped(known.get('rejected', 0))} rejected "
        f"by people; {grouped(edits.get('n', 0))} edits by {grouped(edits.get('people', 0))} people stand.",
        f"{grouped(out.get('exact_duplicates', 0))} exact duplicates were left out when it was frozen.",
    ]
    for kind, n in (out.get("leaks") or {}).items():
        sentences.append(
            f"{grouped(n)} rows were left out of training because they shared a {kind} with the test."
        )
    rows = known.get("cleaning") or []
    table = (
        ("Step", "What was done", "Rows"),
        *(
            (
                RULES[r["rule"]].title if r["rule"] in RULES else r["rule"],
                _words(r["rule"], r["action"]),
                grouped(r["rows"]),
            )
            for r in rows
        ),
    )
    return Section(CLEANING, tuple(sentences), table if rows else ())


def _words(rule: str, action: str) -> str:
    """What the button of a fix said."""
    actions = RULES[rule].actions if rule in RULES else ()
    return next((a.label for a in actions if a.key == action), action)


def _splits(version: DatasetVersion, report: dict[str, Any]) -> Section:
    recipe = recipe_words(version.recipe)
    power = (report.get("power") or {}).get("sentence", "")
    table = (
        ("Split", "Rows"),
        ("train", grouped(version.n_train)),
        ("validation", grouped(version.n_validation)),
        ("test", grouped(version.n_test)),
        *recipe,
    )
    return Section("How was it split?", (power,) if power else (), table)


def _problems(report: dict[str, Any]) -> Section:
    leaks = report.get("leakage") or {}
    sentences = [
        "No row of validation or test stands in training, exactly or nearly."
        if leaks.get("is_clean")
        else "Rows are shared between the splits."
    ]
    if shared := leaks_of(leaks):
        sentences.append(f"Between the splits: {'; '.join(shared)}.")
    gate = (report.get("gate") or {}).get("sentence")
    if gate:
        sentences.append(gate)
    for blocker in report.get("blockers") or []:
        sentences.append(f"Frozen although: {blocker['sentence']}")
    found = report.get("findings") or {}
    table = (
        ("Finding left as it was", "Rows"),
        *((RULES[rule].title if rule in RULES else rule, grouped(n)) for rule, n in found.items()),
    )
    return Section("What is known to be wrong with it?", tuple(sentences), table if found else ())


def _reviewers(version: DatasetVersion, report: dict[str, Any]) -> Section:
    review, judged = report.get("review") or {}, report.get("quality") or {}
    if review.get("n_total"):
        names = ", ".join(review.get("reviewers") or []) or "nobody named"
        sentences = [
            f"{grouped(review['n_done'])} of {grouped(review['n_total'])} rows of a sample were looked at by {names}: "
            f"{grouped(review['n_accepted'])} accepted, {grouped(review['n_edited'])} edited, "
            f"{grouped(review['n_rejected'])} rejected."
        ]
    else:
        sentences = ["Nobody had looked at a sample of the rows."]
    if judged.get("average") is not None:
        sentences.append(
            f"{judged['model']} judged {grouped(judged['n_scored'])} rows: {judged['average']:.2f} of 1 "
            f"(95% interval {judged['low']:.2f} to {judged['high']:.2f})."
        )
    if version.override_reason:
        sentences.append(f"A gate was overridden. The reason given: {version.override_reason}")
    return Section(REVIEWERS, tuple(sentences))
