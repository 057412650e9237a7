"""Taking a frozen version out: each format streamed, the folder, the check of all formats; and its peak memory."""

from __future__ import annotations

import time
from pathlib import Path

from ftportal.bench import ground, material

ROWS = 100_000


def run(folder: str) -> None:
    """Print one line a format."""
    ground.fresh_portal()
    ground.people()
    from datasets.domain.formats import EXPORTS
    from datasets.models import VersionRow
    from datasets.services import exports, versions

    path = Path(folder) / "rows.jsonl"
    material.write_jsonl(path, ROWS)
    dataset, _ = ground.imported(path)
    path.unlink()
    # Frozen as its job would, without the checks and the split by near-duplicates, which are another figure.
    version = versions.start_freeze(
        actor=None, dataset=dataset, size_test_by_power=False, override_reason="Rows made to measure with."
    )
    contents = dataset.examples.active().order_by("id").values_list("content_id", "id", "label")
    rows = [
        VersionRow(
            version=version,
            content_id=content,
            example_id=example,
            label=label,
            split="train",
            position=place,
        )
        for place, (content, example, label) in enumerate(contents.iterator())
    ]
    VersionRow.objects.bulk_create(rows, batch_size=2000)
    n = len(rows)
    del rows
    type(version).objects.filter(pk=version.pk).update(
        state="frozen", checksum="0" * 64, frozen_at=version.created_at, n_rows=n, n_train=n
    )
    version.refresh_from_db()
    base = ground.peak_mb()
    for key in EXPORTS:
        _figure(key, n, exports.in_pieces(exports.export_lines(version=version, split="train", format=key)))
    _figure("folder", n, exports.export_folder(version=version, with_test=False))
    before, began = ground.cpu_s(), time.perf_counter()
    exports.check_exports(version=version, progress=lambda done, total: None)
    seconds, cpu = time.perf_counter() - began, ground.cpu_s() - before
    print(f"  all formats checked: {n / seconds:,.0f} rows/s, {n / cpu:,.0f} rows/CPU s")
    print(f"  peak {ground.peak_mb():.0f} MB ({base:.0f} MB before the first export)")


def _figure(name: str, n: int, pieces: object) -> None:
    before, began = ground.cpu_s(), time.perf_counter()
    size = sum(map(len, pieces))  # type: ignore[call-overload]
    seconds, cpu = time.perf_counter() - began, ground.cpu_s() - before
    print(
        f"  {name:>8}: {n:,} rows, {size / 1e6:.0f} MB: {n / seconds:,.0f} rows/s, {n / cpu:,.0f} rows/CPU s",
        flush=True,
    )
