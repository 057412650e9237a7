"""An endpoint with any number of predictions and feedback: deterministic, written as fast as the database takes them."""

from __future__ import annotations

import json
import random
import time
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from ftportal.bench import material

VARIANTS = 2_000
BATCH = 20_000


def texts(n: int, *, seed: int = 11) -> list[str]:
    """Prompts of 3 to 60 words over the words of `material`."""
    dice = random.Random(1)  # noqa: S311 - material, not secrets
    words = ["".join(dice.choices(material._SYLLABLES, k=dice.randint(1, 4))) for _ in range(5_000)]
    dice.seed(seed)
    return [" ".join(dice.choices(words, k=dice.randint(3, 60))) for _ in range(n)]


def endpoint() -> Any:
    """An endpoint called bench with a version that serves, a candidate, a rollout, and a reference for drift."""
    from django.utils import timezone

    from decisions.services import create_use_case
    from deployments import services
    from deployments.domain import drift
    from deployments.domain.features import Vocabulary, features_of
    from deployments.models import DriftReference, Rollout
    from evaluations.models import Candidate
    from foundation.llm.connections import local_connection
    from foundation.teams.models import Team, User

    team, user = Team.objects.get(), User.objects.get()
    use_case = create_use_case(actor=user, team=team, name="Bench", task_kind="classify")
    versions = []
    for number in range(2):
        candidate = Candidate.objects.create(
            team=team,
            use_case=use_case,
            name=f"Candidate {number}",
            kind="prompt",
            model_id="local:none",
            connection=local_connection(team),
            digest=f"{number:064d}",
        )
        versions.append(services.register_version(actor=user, use_case=use_case, candidate=candidate))
    made = services.create_endpoint(actor=user, use_case=use_case, slug="bench", version=versions[0])
    services.issue_gateway_token(actor=user, endpoint=made, name="bench")
    known = texts(5_000, seed=3)
    vocabulary = Vocabulary.of(known[:100])
    columns: dict[str, list[Any]] = {}
    for number, text in enumerate(known[3_000:]):
        label = material.LABELS[number % 6]
        for name, value in features_of(text, answer=label, label=label, vocabulary=vocabulary).items():
            columns.setdefault(name, []).append(value)
    features = {}
    for name, values in columns.items():
        if any(value is not None for value in values):
            bins = drift.bins_of(values)
            counts = bins.count(values).tolist()
            features[name] = {"kind": bins.kind, "bins": list(bins.edges or bins.names), "counts": counts}
    DriftReference.objects.create(team=team, version=versions[0], features=features, n=2_000, source="bench")
    made.vocabulary = vocabulary
    services.start_rollout(actor=user, endpoint=made, candidate=versions[1])
    # As if its step had begun a day ago, so that a look has the whole day to read.
    begun = timezone.now() - timedelta(days=1)
    Rollout.objects.update(step_started_at=begun, held_since=begun)
    return made


def predictions(endpoint: Any, n: int, *, days: float, until_s: float | None = None) -> float:
    """Seconds to write `n` predictions spread over the last `days`, each tenth with feedback."""
    from django.db import connection, transaction

    from deployments.domain.features import features_of
    from deployments.models import Feedback, Prediction

    dice = random.Random(5)  # noqa: S311 - material, not secrets
    endpoint.refresh_from_db()
    variants = []
    for text in texts(VARIANTS):
        label = dice.choices(material.LABELS, material.SHARES)[0]
        found = features_of(text, answer=label, label=label, vocabulary=endpoint.vocabulary)
        variants.append((json.dumps(found), label, text))
    end = time.time() if until_s is None else until_s
    gap_ms = days * 86_400_000 / n
    statement, names = _statement(connection, Prediction)
    said, said_names = _statement(connection, Feedback)
    native = connection.features.has_native_uuid_field
    moment = connection.ops.adapt_datetimefield_value
    defaults = _defaults(Prediction)
    base = {**defaults, "team_id": endpoint.team_id, "endpoint_id": endpoint.pk, "status": 200, "error": ""}
    word = {**_defaults(Feedback), "team_id": endpoint.team_id, "endpoint_id": endpoint.pk, "label": ""}
    began = time.perf_counter()
    for start in range(0, n, BATCH):
        rows, feedback = [], []
        for number in range(start, min(n, start + BATCH)):
            at_ms = end * 1000 - (n - number) * gap_ms
            identity = uuid.UUID(int=int(at_ms) << 80 | 7 << 76 | 2 << 62 | dice.getrandbits(62))
            features, label, text = variants[number % VARIANTS]
            at = moment(datetime.fromtimestamp(at_ms / 1000, UTC))
            is_candidate = dice.random() < 0.05
            failed = dice.random() < 0.01
            row = base | {
                "id": identity if native else identity.hex,
                "version_id": endpoint.candidate_id if is_candidate else endpoint.baseline_id,
                "arm": "candidate" if is_candidate else "baseline",
                "at": at,
                "status": 502 if failed else 200,
                "error": "cut" if failed else "",
                "sticky_hash": f"{number % 50_000:016x}",
                "is_sticky": True,
                "latency_ms": 80 + dice.random() * 60,
                "cost_microusd": 120,
                "features": features,
                "predicted": label,
                "prompt_text": text if number % 10 == 0 else "",
                "answer_text": label if number % 10 == 0 else "",
            }
            rows.append([row[name] for name in names])
            if number % 10 == 0:
                told = word | {
                    "id": uuid.UUID(int=identity.int ^ 1) if native else f"{identity.int ^ 1:032x}",
                    "prediction_id": row["id"],
                    "at": at,
                    "is_correct": dice.random() < 0.85,
                }
                feedback.append([told[name] for name in said_names])
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.executemany(statement, rows)
            cursor.executemany(said, feedback)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    return time.perf_counter() - began


def _statement(connection: Any, model: Any) -> tuple[str, list[str]]:
    fields = model._meta.concrete_fields
    columns = ", ".join(connection.ops.quote_name(field.column) for field in fields)
    table = connection.ops.quote_name(model._meta.db_table)
    marks = ", ".join(["%s"] * len(fields))
    return f"INSERT INTO {table} ({columns}) VALUES ({marks})", [field.attname for field in fields]  # noqa: S608


def _defaults(model: Any) -> dict[str, Any]:
    return {field.attname: field.get_default() for field in model._meta.concrete_fields}
