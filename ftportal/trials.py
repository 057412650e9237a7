"""Starting a lifecycle on a file of this machine: for the demo, the command line and tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings

from foundation.files import store
from foundation.jobs.models import Job
from foundation.jobs.services import start_job
from foundation.teams.errors import BadInput
from foundation.teams.models import Team, User

DEMO_FILE = settings.BASE_DIR / "ftportal" / "demo" / "support-tickets.csv"
DEMO_RECIPE: dict[str, Any] = {
    "name": "Support triage",
    "text": "text",
    "label": "queue",
    "group": "customer_id",
    "at": "created_at",
    "reviewer": "demo",
    "seed": "support-tickets-1",
    "note": "Written by the demo from the facts of the use case.",
    "reason": "The demo's claim: does the trained model beat the nearest example?",
    "facts": {
        "description": "Send each support ticket to the queue that can answer it, the same way every time.",
        "task_kind": "classify",
        "labels": [
            {"name": "billing", "definition": "charges, invoices, refunds of money, gift cards, instalments"},
            {"name": "delivery", "definition": "where a parcel is, when and how it arrives"},
            {"name": "returns", "definition": "sending things back, exchanges, missing parts, warranty"},
            {"name": "account", "definition": "signing in, personal data, Pine Club membership"},
            {"name": "technical", "definition": "products, app and website that do not work"},
            {"name": "fraud", "definition": "strangers' orders, stolen cards, phishing"},
        ],
        "task_complexity": "moderate",
        "data_availability": "high",
        "data_quality": "high",
        "volume_per_day": 5000,
        "budget_constraint": "medium",
        "time_to_market": "normal",
        "requires_consistency": True,
        "requires_specialised_behaviour": True,
    },
}


def start_trial(
    *, actor: User | None, team: Team, path: Path, recipe: dict[str, Any], again: str = ""
) -> Job:
    """The job that runs the whole lifecycle on the file at `path`; the same file and recipe again is the same job.

    Raises: BadInput when the file is missing, a folder, empty or unreadable.
    """
    if not path.exists():
        raise BadInput(f"There is no file {path}. Give the path of a CSV, TSV or JSONL file.", field="file")
    if path.is_dir():
        raise BadInput(f"{path} is a folder. Give the path of a CSV, TSV or JSONL file.", field="file")
    if not path.stat().st_size:
        raise BadInput(f"{path} is empty.", field="file")
    try:
        with open(path, "rb") as stream:
            blob = store.put(team=team, stream=stream, name=path.name, kind="upload", actor=actor)
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}.", field="file") from None
    return start_job(
        actor=actor,
        team=team,
        kind="ftportal.lifecycle",
        title=f"{recipe['name']}: from {path.name} to a verdict",
        recipe={**recipe, "blob": blob.pk, "file": path.name},
        dedupe_key=f"lifecycle:{blob.sha256[:16]}:{recipe['name']}{again}"[:190],
    )
