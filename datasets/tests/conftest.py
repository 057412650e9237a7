"""A use case, a dataset, and ways to bring rows into it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from datasets import services
from datasets.jobs import KINDS
from datasets.models import Dataset
from decisions.services import create_use_case
from foundation.files import store
from foundation.jobs.kinds import register_kinds
from foundation.jobs.services import run_until_idle

SHARED = Path(os.environ.get("REAL_DATA") or Path(__file__).resolve().parents[2].parent / "shared" / "data")


@pytest.fixture(autouse=True)
def _kinds(settings, tmp_path):
    settings.FILES_DIR = tmp_path / "files"
    register_kinds(KINDS)


@pytest.fixture
def use_case(team, editor):
    return create_use_case(actor=editor, team=team, name="Ticket routing", task_kind="classify")


@pytest.fixture
def dataset(team, editor, use_case) -> Dataset:
    return services.create_dataset(actor=editor, team=team, use_case=use_case, name="Support tickets")


@pytest.fixture
def stage(team, editor):
    """Stage text or bytes as a file of a dataset."""

    def stage_file(dataset, content, name="rows.jsonl"):
        data = content.encode() if isinstance(content, str) else content
        blob = store.put(team=dataset.team, stream=data, name=name, kind="import", actor=editor)
        return services.stage_upload(actor=editor, dataset=dataset, blob=blob)

    return stage_file


@pytest.fixture
def bring_in(stage, editor):
    """Import text or bytes to the end, checks included; the dataset is fresh afterwards."""

    def run(dataset, content, name="rows.jsonl", *, skip=False):
        staged = stage(dataset, content, name)
        services.start_import(actor=editor, import_=staged, skip_bad_rows=skip)
        assert run_until_idle(120)
        staged.refresh_from_db()
        dataset.refresh_from_db()
        return staged

    return run


def jsonl(rows) -> str:
    """Rows as JSON lines."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def tickets(n: int, labels=("billing", "login", "card")) -> list[dict]:
    """`n` distinct tickets, labels in turn."""
    words = "alpha bravo charlie delta echo foxtrot golf hotel india juliett kilo lima mike".split()
    return [
        {
            "text": f"Ticket {i}: my {words[i % 13]} account shows {words[(i * 7 + 3) % 13]} number {i * 7919 % 10007} "
            f"since {words[(i * 5 + 1) % 13]} {i}",
            "label": labels[i % len(labels)],
        }
        for i in range(n)
    ]
