"""What a review found, as figures and charts. Formats, decides nothing."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from django.db.models import Count, Q
from django.utils.safestring import SafeString

from datasets.domain.agreement import Agreement, cohen_kappa, krippendorff_alpha
from datasets.domain.power import wilson
from datasets.domain.review import Need
from datasets.domain.statuses import Verdict
from datasets.models import Reading, Review
from datasets.services.queueing import NEEDED_AT_MOST
from datasets.services.reviewing import readings_of, to_settle
from foundation.ui import charts
from foundation.ui.formats import grouped, percent

# Pairs that agreement is computed from, the newest first; more would say nothing new.
MOST_PAIRS = 20_000
NAMES = {
    Need.DISAGREEMENT: "rows that contradict others",
    Need.LOW_SCORE: "rows a model judged weak",
    Need.FINDING: "rows with a finding",
}
TROUBLE = (Verdict.EDITED, Verdict.REJECTED)
# Named one by one: what is not empty has no index to follow.
JUDGED = (Verdict.ACCEPTED, *TROUBLE)


def summary(review: Review) -> dict[str, Any]:
    """Progress, trouble by reason with intervals, people, agreement."""
    # Judged rows have an index, and needy ones stand first: the rows nobody has looked at are not walked over.
    judged = list(
        review.items.filter(verdict__in=JUDGED)
        .order_by()
        .values_list("need", "in_sample", "verdict")
        .annotate(n=Count("id"))
    )
    needy = review.items.filter(position__lte=NEEDED_AT_MOST).exclude(need="").order_by()
    n_needy = dict(needy.values_list("need").annotate(n=Count("id")))
    n_sample = review.n_sample or review.n_total
    found = [_trouble("the sample", n_sample, [(verdict, n) for _, is_in, verdict, n in judged if is_in])]
    found += [
        _trouble(
            NAMES[need], n_needy.get(need.value, 0), [(v, n) for which, _, v, n in judged if which == need]
        )
        for need in Need
    ]
    rows = [row for row in found if row["n_total"]]
    people = list(
        review.items.filter(verdict__in=JUDGED)
        .values("reviewer_name")
        .annotate(
            n=Count("id"),
            n_accepted=Count("id", filter=Q(verdict=Verdict.ACCEPTED)),
            n_edited=Count("id", filter=Q(verdict=Verdict.EDITED)),
            n_rejected=Count("id", filter=Q(verdict=Verdict.REJECTED)),
        )
        .order_by("-n")[:20]
    )
    return {"rows": rows, "chart": _chart(rows), "people": people, **_agreement(review)}


def _trouble(name: str, n_total: int, counted: list[tuple[str, int]]) -> dict[str, Any]:
    counts = {
        "n_total": n_total,
        "n_done": sum(n for _, n in counted),
        "n_trouble": sum(n for verdict, n in counted if verdict in TROUBLE),
    }
    low, high = wilson(counts["n_trouble"], counts["n_done"])
    share = counts["n_trouble"] / counts["n_done"] if counts["n_done"] else None
    return {"name": name, **counts, "share": share, "low": low, "high": high}


def _chart(rows: list[dict[str, Any]]) -> Any:
    judged = [row for row in rows if row["share"] is not None]
    if not judged:
        return ""
    first = judged[0]
    title = (
        f"{percent(first['share'])} of {first['name']} looked at had to be edited or rejected "
        f"({percent(first['low'])} to {percent(first['high'])}, {grouped(first['n_done'])} rows)"
    )
    return charts.bars_with_intervals(
        charts.Bars(
            title=title,
            sub="Share of the rows looked at, with 95% intervals",
            unit="percent",
            bars=[
                charts.Bar(
                    row["name"].capitalize(),
                    row["share"],
                    row["low"],
                    row["high"],
                    note=f"{grouped(row['n_done'])} rows",
                )
                for row in judged
            ],
        )
    )


# Krippendorff's own bounds: from .800 data may be relied on, from .667 for tentative conclusions.
RELIABLE = 0.8


def agreement_chart(
    alpha: Agreement, kappa: Agreement | None, verdicts: Agreement | None = None, *, n_same: int, n_pairs: int
) -> SafeString | str:
    """How far two readers agree beyond chance, with intervals, against the bound from which data may be relied on.

    `verdicts`: alpha of accepted, edited or rejected alone. Readers see the label that stands, so with many labels
    they agree on it far beyond chance even where they cannot agree which rows are wrong.
    """
    known = [
        (name, one)
        for name, one in (
            ("Krippendorff’s alpha", alpha),
            ("Cohen’s kappa", kappa),
            ("Alpha of the verdicts alone", verdicts),
        )
        if one is not None and one.value is not None
    ]
    if not known:
        return ""
    said = f"beyond chance the agreement is {known[0][1].words}"
    if alpha.value is not None and verdicts is not None and verdicts.words != alpha.words:
        said += (
            f" on labels, {verdicts.words} on verdicts"
            if verdicts.value is not None
            else " on labels; the verdicts are all the same"
        )
    return charts.bars_with_intervals(
        charts.Bars(
            title=f"Readers gave the same answer on {grouped(n_same)} of {grouped(n_pairs)} rows; {said}",
            sub="0 is chance, 1 is perfect; with 95% intervals",
            unit="share",
            bars=[
                charts.Bar(name, one.value, one.low, one.high, note=f"{one.n} rows") for name, one in known
            ],
            top=1.0,
            reference=RELIABLE,
            reference_name=f"{RELIABLE:g}, reliable",
        )
    )


def _agreement(review: Review) -> dict[str, Any]:
    """Alpha over all double readings; kappa where the same two people read every row."""
    if not review.n_double:
        return {}
    readings = (
        readings_of(review)
        .select_related("item__example", "item__edit", "reader")
        .order_by("item_id", "id")[: 2 * MOST_PAIRS]
    )
    is_labelled = review.dataset.use_case.task_kind == "classify"
    pairs: dict[int, list[Reading]] = defaultdict(list)
    for reading in readings:
        pairs[reading.item_id].append(reading)
    both = [found for found in pairs.values() if len(found) == 2]
    answers = []
    for found in both:
        # The label the two readers saw: what an edit of the settled row replaced.
        item = found[0].item
        seen = item.edit.label_before if item.edit_id and item.edit else item.example.label
        answers.append([r.answer(label=seen if is_labelled else "") for r in found])
    people = {reading.reader_id for found in both for reading in found}
    kappa: Agreement | None = None
    if len(people) == 2:
        one = min(people)
        ordered = [
            pair if found[0].reader_id == one else pair[::-1]
            for pair, found in zip(answers, both, strict=True)
        ]
        kappa = cohen_kappa([p[0] for p in ordered], [p[1] for p in ordered])
    n_same = sum(pair[0] == pair[1] for pair in answers)
    waiting = to_settle(review).count()
    alpha = krippendorff_alpha(answers, seed=review.pk)
    verdicts = (
        krippendorff_alpha([[r.verdict for r in found] for found in both], seed=review.pk)
        if is_labelled
        else None
    )
    return {
        "alpha": alpha,
        "verdicts": verdicts,
        "agreement_chart": agreement_chart(alpha, kappa, verdicts, n_same=n_same, n_pairs=len(both)),
        "kappa": kappa,
        "n_pairs": len(both),
        "n_same": n_same,
        "n_readers": len(people),
        "n_to_settle": waiting,
        "n_settled": review.items.filter(verdict__in=JUDGED, is_adjudicated=True).count(),
    }
