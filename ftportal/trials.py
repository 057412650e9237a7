"""Starting a lifecycle on a file of this machine: for the demo, the command line and tests."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.conf import settings

from datasets import importing
from datasets.domain.mapping import ColumnMapping, guess_mapping
from foundation.files import store
from foundation.files.models import Blob
from foundation.jobs.models import Job
from foundation.jobs.services import start_job
from foundation.teams.errors import BadInput
from foundation.teams.models import Team, User

DEMO_FILE = settings.BASE_DIR / "ftportal" / "demo" / "support-tickets.csv"
# Three weeks of later requests, with the queue each ended in.
DEMO_TRAFFIC = settings.BASE_DIR / "ftportal" / "demo" / "later-traffic.csv"
TRAFFIC_COLUMNS = {
    "prompt": "text",
    "label": "final_queue",
    "group": "customer_id",
    "at": "created_at",
}
DEMO_RECIPE: dict[str, Any] = {
    "name": "Support triage",
    "is_demo": True,
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
    *,
    actor: User | None,
    team: Team,
    path: Path,
    recipe: dict[str, Any],
    traffic: Path | None = None,
    traffic_columns: Mapping[str, str] | None = None,
    again: str = "",
) -> Job:
    """The job that runs the whole lifecycle on the file at `path`; the same file and recipe again is the same job.

    `traffic`: a file of later requests with their right answers, replayed through the gateway; its columns are those
    of the first file where they are there too, unless `traffic_columns` says otherwise.
    Raises: BadInput when a file is missing, a folder, empty or unreadable.
    """
    blob = _kept(path, team, actor)
    recipe = {**recipe, "blob": blob.pk, "file": path.name}
    if traffic is not None:
        later = _kept(traffic, team, actor)
        mapping = _columns_of(later, recipe, traffic_columns or {})
        recipe["traffic"] = {"blob": later.pk, "file": traffic.name, "mapping": mapping}
    return start_job(
        actor=actor,
        team=team,
        kind="ftportal.lifecycle",
        title=f"{recipe['name']}: from {path.name} to {'a version in service' if traffic else 'a verdict and an endpoint'}",
        recipe=recipe,
        dedupe_key=f"lifecycle:{blob.sha256[:16]}:{recipe['name']}{again}"[:190],
    )


def _columns_of(blob: Blob, recipe: Mapping[str, Any], given: Mapping[str, str]) -> dict[str, str]:
    layout = importing.layout_of(blob)
    found = guess_mapping(importing.sample_records(blob, layout), layout.columns).as_json()
    known = {"prompt": recipe.get("text"), **{name: recipe.get(name) for name in ("label", "group", "at")}}
    same = {part: column for part, column in known.items() if column and column in layout.columns}
    mapping = ColumnMapping.from_json({**found, **same, **given})
    field, problem = mapping.problem(layout.columns)
    if problem:
        raise BadInput(f"The file of traffic: {problem}", field=field)
    return mapping.as_json()


def _kept(path: Path, team: Team, actor: User | None) -> Blob:
    if not path.exists():
        raise BadInput(f"There is no file {path}. Give the path of a CSV, TSV or JSON file.", field="file")
    if path.is_dir():
        raise BadInput(f"{path} is a folder. Give the path of a CSV, TSV or JSON file.", field="file")
    if not path.stat().st_size:
        raise BadInput(f"{path} is empty.", field="file")
    try:
        with open(path, "rb") as stream:
            return store.put(team=team, stream=stream, name=path.name, kind="upload", actor=actor)
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}.", field="file") from None
