"""The report of the checks as pictures and as a file. Formats, decides nothing."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from django.utils.safestring import SafeString

from datasets.domain.rules import RULES, THIN
from datasets.models import Dataset, Finding, FindingRow
from datasets.vault import Vault
from foundation.teams.domain.csv_cells import safe_cell
from foundation.teams.models import User
from foundation.ui import charts
from foundation.ui.formats import grouped

SHOWN_LABELS = 12
BLOCK = 500


def counts_by_severity(findings: Iterable[Finding]) -> list[tuple[str, int]]:
    """How many findings are left to mend, by severity, worst first; severities without any are left out."""
    counts = Counter(f.severity for f in findings if not f.is_mended)
    return [(severity, counts[severity]) for severity in ("error", "warning", "note") if counts[severity]]


def balance_chart(labels: dict[str, int]) -> SafeString | str:
    """Rows by label: the largest and the smallest, with the finding as its title."""
    if len(labels) < 2:
        return ""
    ordered = sorted(labels.items(), key=lambda item: (-item[1], item[0]))
    largest, smallest = ordered[0][1], ordered[-1][1]
    ratio = largest / max(1, smallest)
    if len(ordered) > SHOWN_LABELS:
        half = SHOWN_LABELS // 2
        shown = ordered[:half] + ordered[-half:]
        sub = f"The {half} largest and the {half} smallest of {grouped(len(ordered))} labels."
    else:
        shown, sub = ordered, ""
    if smallest < THIN:
        sub = f"{sub} Thin: fewer than {THIN} rows.".strip()
    title = (
        "Every label has about as many rows as the next"
        if ratio < 1.5
        else f"The largest label has {ratio:,.{0 if ratio >= 20 else 1}f} times the rows of the smallest"
    )
    return charts.bars_with_intervals(
        charts.Bars(
            title=title,
            sub=sub,
            unit="rows",
            bars=[
                charts.Bar(f"{name} (thin)" if n < THIN else name, n, tone="warn" if n < THIN else "")
                for name, n in shown
            ],
        )
    )


SHOWN_LANGUAGES = 8


def languages_chart(languages: dict[str, int]) -> SafeString | str:
    """The languages of the prompts as parts of one whole, the share of the largest as its finding."""
    n = sum(languages.values())
    if not n:
        return ""
    ordered = sorted(languages.items(), key=lambda item: (item[0] == "not known", -item[1]))
    name, most = ordered[0]
    unknown = languages.get("not known", 0)
    known = n - unknown
    shown = [(one, count) for one, count in ordered if one != "not known"][:SHOWN_LANGUAGES]
    if rest := known - sum(count for _, count in shown):
        shown.append(("others", rest))
    if unknown:
        shown.append(("not known", unknown))
    who = f"{grouped(known)} prompts" + (" whose language can be told" if known < n else "")
    if not known:
        title = f"The language of no prompt is known, of {grouped(n)}"
    elif known == 1:
        title = f"The one prompt whose language can be told is in {name}"
    elif most == known:
        title = f"All {who} are in {name}"
    else:
        title = f"{min(99, round(100 * most / known))}% of {who} are in {name}"
    parts = [charts.Part(one, count, "mute" if one == "not known" else "") for one, count in shown]
    return charts.shares_chart(charts.Shares(title=title, parts=parts))


HEADER = (
    "rule",
    "severity",
    "finding",
    "row",
    "group",
    "note",
    "suggestion",
    "state",
    "label",
    "prompt",
    "answer",
)


def findings_csv(*, dataset: Dataset, user: User) -> Iterator[bytes]:
    """The shown report, one line a row of a finding; a finding about the whole dataset has one line without a row.

    Sealed test rows keep their number and lose their text, and what notes and labels tell of it. Cells that a
    spreadsheet would run are made harmless.
    """
    yield _lines([HEADER])
    order = {"error": 0, "warning": 1, "note": 2}
    vault = Vault(dataset, user)
    in_turn = {rule: place for place, rule in enumerate(RULES)}
    findings = sorted(
        Finding.objects.filter(run_id=dataset.checks_id),
        key=lambda f: (order[f.severity], in_turn[f.rule], f.pk),
    )
    for finding in findings:
        head = (RULES[finding.rule].title, finding.severity, finding.headline)
        if not finding.n_rows:
            yield _lines([(*head, *[""] * 8)])
            continue
        for block in _blocks(finding):
            sealed = vault.closed(row.example.content_id for row in block)
            yield _lines([(*head, *_cells(row, row.example.content_id in sealed)) for row in block])


def _blocks(finding: Finding) -> Iterator[list[FindingRow]]:
    """The rows of a finding, cluster by cluster. Each question is one walk along the index, also at the end."""
    rows = FindingRow.objects.filter(finding=finding).select_related("example__content")
    later = rows
    while block := list(later.order_by("cluster", "pk")[:BLOCK]):
        last = block[-1]
        if missing := BLOCK - len(block):
            # The cluster is at its end; the block goes on with those behind it.
            block += rows.filter(cluster__gt=last.cluster).order_by("cluster", "pk")[:missing]
            last = block[-1]
        yield block
        later = rows.filter(cluster=last.cluster, pk__gt=last.pk)
        if not later.exists():
            later = rows.filter(cluster__gt=last.cluster)


def _cells(row: FindingRow, is_sealed: bool) -> tuple[object, ...]:
    example = row.example
    if is_sealed:
        return (row.example_id, row.cluster or "", "", "", example.state, "", "sealed", "sealed")
    content = example.content
    told = (row.note, row.suggestion, example.state, example.label)
    return (row.example_id, row.cluster or "", *told, content.prompt, content.completion)


def _lines(rows: Sequence[Sequence[object]]) -> bytes:
    out = io.StringIO(newline="")
    csv.writer(out).writerows([[safe_cell(cell) for cell in row] for row in rows])
    return out.getvalue().encode()
