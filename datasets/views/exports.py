"""Taking a version out: what each provider would say against it, its files, and a folder for Hugging Face."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils.text import slugify
from django.views.decorators.http import require_GET, require_POST

from datasets import policies, presenting, services
from datasets.crossing import n_tested_since
from datasets.domain.formats import EXPORTS
from datasets.domain.linting import PROVIDERS, RULES
from datasets.domain.statuses import Split
from datasets.models import DatasetVersion, ExportCheck
from datasets.services.exports import FOLDER, export_lines, in_pieces, known_format
from foundation.ui import htmx
from foundation.ui.downloads import Download


def version_exports(request: HttpRequest, version: DatasetVersion) -> HttpResponse:
    """Every format with what is against it, counted and named, before anything is downloaded."""
    policies.check_can_use(version)
    check = ExportCheck.objects.filter(version=version).select_related("job").first()
    report = check.report if check is not None and check.finished_at else {}
    looked = services.has_looked(actor=request.user, version=version)
    sizes = [("train", version.n_train), ("validation", version.n_validation), ("test", version.n_test)]
    formats = [_shown(key, report.get(key, {}), sizes, looked) for key in EXPORTS]
    context = {
        "version": version,
        "dataset": version.dataset,
        "lineage": presenting.lineage(version.dataset, version),
        "n_clean": sum(not (one["file_problems"] or one["n_blocked"] or one["n_lossy"]) for one in formats),
        "check": check,
        "job": check.job if check is not None else None,
        "is_checked": bool(report),
        "has_looked": looked,
        "formats": formats,
        "n_rows": version.n_rows,
        "newer": n_tested_since(version),
    }
    return htmx.render_page(request, "datasets/version_exports.html", None, context)


def _shown(key: str, found: dict[str, Any], sizes: list[tuple[str, int]], looked: bool) -> dict[str, Any]:
    """One format as the page draws it."""
    files = found.get("files", {})
    rules = [
        {
            "rule": RULES[rule],
            "n": entry["n"],
            "rows": entry["rows"][:5],
            "n_more": entry["n"] - min(5, len(entry["rows"])),
        }
        for rule, entry in found.get("rules", {}).items()
        if rule in RULES
    ]
    return {
        "format": EXPORTS[key],
        "notes": PROVIDERS[key].notes,
        "n_blocked": found.get("n_blocked", 0),
        "n_lossy": found.get("n_lossy", 0),
        "file_problems": found.get("file_problems", []),
        "rules": sorted(rules, key=lambda r: (not r["rule"].blocks, -r["n"])),
        "files": [
            {
                "split": split,
                "n": n,
                "is_sealed": split == Split.TEST and not looked,
                "bytes": files.get(split, {}).get("bytes"),
                "sha256": files.get(split, {}).get("sha256", ""),
            }
            for split, n in sizes
        ],
    }


@require_POST
def version_exports_check(request: HttpRequest, version: DatasetVersion) -> HttpResponse:
    """Hold the rows against every provider's rules. Twice is once."""
    services.start_export_check(actor=request.user, version=version)
    return htmx.redirect(request, "datasets:version-exports", version.pk)


def _stem(version: DatasetVersion) -> str:
    return f"{slugify(version.dataset.name)[:60] or 'dataset'}-v{version.number}"


@require_GET
def version_export(request: HttpRequest, version: DatasetVersion, split: str, format: str) -> Download:
    """One split as a file, streamed, byte for byte the same each time."""
    lines = export_lines(version=version, split=split, format=format)
    services.record_export(actor=request.user, version=version, split=split, format=format)
    name = f"{_stem(version)}-{split}-{format}.{known_format(format).suffix}"
    return Download(in_pieces(lines), name=name)


@require_GET
def version_folder(request: HttpRequest, version: DatasetVersion) -> Download:
    """The version as a folder for Hugging Face's libraries; test rows only for who has opened them."""
    with_test = bool(version.n_test) and services.has_looked(actor=request.user, version=version)
    pieces = services.export_folder(version=version, with_test=with_test)
    for split in Split:
        if split != Split.TEST or with_test:
            services.record_export(actor=request.user, version=version, split=split, format=FOLDER)
    return Download(pieces, name=f"{_stem(version)}-{FOLDER}.zip")
