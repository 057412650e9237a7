"""What is known of models: limits, life and prices, as rows seeded from a dated file and editable in the
admin."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import date
from pathlib import Path
from typing import Any

from django.db import transaction
from django.utils import timezone

from foundation.llm.domain.bounds import prompt_tokens_bound
from foundation.llm.domain.messages import Request
from foundation.llm.domain.pricing import Price, price_at
from foundation.llm.errors import NoPrice
from foundation.llm.models import ModelEntry, ModelPrice

DATA_FILE = Path(__file__).parent / "catalogue-2026-11-22.json"
EDITED = "edited"
OFFERED_FIELDS = frozenset(
    {
        "display_name",
        "line",
        "lifecycle",
        "deprecated_at",
        "retires_at",
        "context_tokens",
        "max_output_tokens",
    }
)


def load(path: Path = DATA_FILE) -> tuple[int, int]:
    """Rows made or renewed from the file, as (models, prices).

    Running it again changes nothing; edited rows stay.
    """
    data = json.loads(path.read_text())
    source = f"catalogue {data['as_of']}"
    n_models = n_prices = 0
    with transaction.atomic():
        existing = {(e.provider, e.model_id): e for e in ModelEntry.objects.all()}
        prices = {
            (p.entry_id, p.effective_from.isoformat(), p.above_prompt_tokens): p
            for p in ModelPrice.objects.all()
        }
        for rank, model in enumerate(data["models"]):
            fields = {**data["defaults"], **{k: v for k, v in model.items() if k != "prices"}}
            fields.setdefault("rank", rank)
            key = (fields.pop("provider"), fields.pop("model_id"))
            entry = existing.get(key)
            if entry is None:
                entry = ModelEntry.objects.create(provider=key[0], model_id=key[1], source=source, **fields)
                n_models += 1
            elif entry.source != EDITED and entry.source != source:
                for name, value in fields.items():
                    setattr(entry, name, value)
                entry.source = source
                entry.save()
                n_models += 1
            for rates in data["prices"][model["prices"]]:
                row = prices.get((entry.pk, rates["effective_from"], rates["above_prompt_tokens"]))
                if row is None:
                    ModelPrice.objects.create(entry=entry, source=source, **rates)
                    n_prices += 1
                elif row.source != EDITED and row.source != source:
                    ModelPrice.objects.filter(pk=row.pk).update(source=source, **rates)
                    n_prices += 1
    return n_models, n_prices


def load_after_migrate(**kwargs: object) -> None:
    """Seed the catalogue when the tables are there (post_migrate)."""
    load()


def note_offered(offered: Iterable[Mapping[str, Any]], *, provider: str = "anthropic") -> int:
    """How many rows changed by what the provider itself lists. A new model has no price, so it is not asked yet.

    Rows edited by hand stay. Only limits, life and names are taken; prices are nowhere in the provider's list.
    """
    changed = 0
    known = {e.model_id: e for e in ModelEntry.objects.filter(provider=provider)}
    for said in offered:
        fields = {k: v for k, v in said.items() if k in OFFERED_FIELDS and _fits(k, v)}
        model_id = str(said.get("model_id", ""))[:120]
        row = known.get(model_id)
        if row is None and model_id:
            ModelEntry.objects.create(
                provider=provider,
                model_id=model_id,
                rank=900,
                source="the provider's list",
                note="Price not known: enter it before use.",
                **{"display_name": model_id, **fields},
            )
            changed += 1
        elif row is not None and row.source != EDITED:
            new = {k: v for k, v in fields.items() if str(getattr(row, k)) != str(v)}
            if new:
                ModelEntry.objects.filter(pk=row.pk).update(**new)
                changed += 1
    return changed


def _fits(name: str, value: Any) -> bool:
    if name in ("deprecated_at", "retires_at"):
        try:
            return bool(date.fromisoformat(str(value)))
        except ValueError:
            return False
    if name in ("context_tokens", "max_output_tokens"):
        return isinstance(value, int) and 0 < value < 2**31
    if name == "lifecycle":
        return value in ModelEntry.Lifecycle.values
    return isinstance(value, str) and len(value) <= (40 if name == "line" else 120)


def entry(model: str, *, provider: str = "anthropic") -> ModelEntry | None:
    """What is known of a model, or None."""
    return ModelEntry.objects.filter(provider=provider, model_id=model).first()


def models_offered(*, provider: str = "anthropic", at: date | None = None) -> list[ModelEntry]:
    """Models that can still be chosen on a day, in the catalogue's order."""
    at = at or timezone.now().date()
    return [
        e
        for e in ModelEntry.objects.filter(provider=provider).exclude(lifecycle=ModelEntry.Lifecycle.RETIRED)
        if not e.restricted and (e.retires_at is None or e.retires_at > at)
    ]


def price_of(entry: ModelEntry, at: date) -> Price | None:
    """The price of a catalogue row on a day, or None; for pages that show many (prefetch `prices`)."""
    return price_at((r.as_rates() for r in entry.prices.all()), at)


def price(model: str, at: date | None = None, *, provider: str = "anthropic") -> Price:
    """The price of a model on a day. Raises NoPrice: a call without a known price is never made."""
    rows = ModelPrice.objects.filter(entry__provider=provider, entry__model_id=model)
    found = price_at((r.as_rates() for r in rows), at or timezone.now().date())
    if found is None:
        raise NoPrice(
            f"The catalogue has no price for “{model}”, so no cap could be kept. "
            "Choose a listed model, or add its price in the admin under Model prices."
        )
    return found


def bound_microusd(request: Request, at: date | None = None, *, batch: bool = False) -> int:
    """The most this request can cost. Raises NoPrice."""
    return price(request.model, at).bound_microusd(
        prompt_tokens_bound(request), request.max_tokens, batch=batch
    )
