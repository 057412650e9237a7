"""The dated list of models: every id and price of it, loaded as often as one likes, edits kept."""

from __future__ import annotations

import json
from datetime import date
from io import StringIO

import pytest
from django.core.management import call_command

from foundation.llm import catalogue
from foundation.llm.domain.messages import Message, Request, Usage
from foundation.llm.errors import NoPrice
from foundation.llm.models import ModelEntry, ModelPrice

pytestmark = pytest.mark.django_db
TODAY = date(2026, 11, 22)

IDS = [
    "claude-fable-5-2",
    "claude-mythos-5-2",
    "claude-haiku-5-5",
    "claude-sonnet-5-5",
    "claude-fable-5-1",
    "claude-opus-5-5",
    "claude-mythos-5-1",
    "claude-sonnet-5",
    "claude-fable-5",
    "claude-mythos-5",
    "claude-opus-5",
    "claude-opus-4-8",
    "claude-opus-4-7",
    "claude-mythos-preview",
    "claude-opus-4-6",
    "claude-sonnet-4-6",
    "claude-haiku-4-5",
    "claude-haiku-4-5-20251001",
    "claude-opus-4-5",
    "claude-opus-4-5-20251101",
    "claude-sonnet-4-5",
    "claude-sonnet-4-5-20250929",
]

# dollars a million tokens: prompt, answer, cache write for 5 minutes and an hour, cache read
PRICES = [
    ("claude-fable-5-2", 8, 40, 10, 16, 0.20),
    ("claude-mythos-5-2", 8, 40, 10, 16, 0.20),
    ("claude-fable-5-1", 10, 50, 12.5, 20, 0.25),
    ("claude-mythos-5-1", 10, 50, 12.5, 20, 0.25),
    ("claude-opus-5-5", 4, 20, 5, 8, 0.20),
    ("claude-opus-5", 5, 25, 6.25, 10, 0.50),
    ("claude-opus-4-8", 5, 25, 6.25, 10, 0.50),
    ("claude-opus-4-5", 5, 25, 6.25, 10, 0.50),
    ("claude-sonnet-5-5", 2, 10, 2.5, 4, 0.10),
    ("claude-sonnet-5", 2, 10, 2.5, 4, 0.20),
    ("claude-sonnet-4-6", 3, 15, 3.75, 6, 0.30),
    ("claude-sonnet-4-5", 3, 15, 3.75, 6, 0.30),
    ("claude-haiku-5-5", 0.10, 0.50, 0.125, 0.20, 0.01),
    ("claude-haiku-4-5", 1, 5, 1.25, 2, 0.10),
]


def test_every_known_model_is_there():
    there = set(ModelEntry.objects.filter(provider="anthropic").values_list("model_id", flat=True))
    assert set(IDS) <= there


@pytest.mark.parametrize("row", PRICES, ids=lambda row: row[0])
def test_prices_are_those_of_the_list(row):
    model, *dollars = row
    tier = catalogue.price(model, TODAY).tiers[0]
    found = (tier.input, tier.output, tier.cache_write_5m, tier.cache_write_1h, tier.cache_read)
    assert found == tuple(round(d * 1_000_000) for d in dollars)
    assert tier.batch_percent == 50


def test_a_long_prompt_of_haiku_costs_five_times():
    price = catalogue.price("claude-haiku-5-5", TODAY)
    assert price.cost_microusd(Usage(100_000, 0)) == 10_000
    assert price.cost_microusd(Usage(200_000, 0)) == 100_000


def test_a_price_holds_from_its_day():
    before = catalogue.price("claude-sonnet-5-5", date(2026, 10, 6)).tiers[0]
    after = catalogue.price("claude-sonnet-5-5", date(2026, 10, 7)).tiers[0]
    assert (before.cache_read, after.cache_read) == (200_000, 100_000)


@pytest.mark.parametrize("model", ["claude-fable-5", "nobody-knows", "local:abc", ""])
def test_t15_no_price_no_call(model):
    with pytest.raises(NoPrice, match="no price"):
        catalogue.bound_microusd(Request(model, "", (Message("user", "x"),), 10))


def test_what_can_be_chosen_ends_with_its_life():
    offered = {e.model_id for e in catalogue.models_offered(at=TODAY)}
    assert "claude-sonnet-4-5" in offered and "claude-haiku-5-5" in offered
    assert not {"claude-mythos-5-2", "claude-mythos-preview", "claude-3-opus-20240229"} & offered
    later = {e.model_id for e in catalogue.models_offered(at=date(2026, 11, 30))}
    assert "claude-sonnet-4-5" not in later
    assert catalogue.models_offered(at=TODAY)[0].model_id == "claude-haiku-5-5"


def test_loading_again_changes_nothing_and_edits_stay():
    assert catalogue.load() == (0, 0)
    entry = catalogue.entry("claude-haiku-5-5")
    ModelEntry.objects.filter(pk=entry.pk).update(note="ours", source=catalogue.EDITED)
    price = ModelPrice.objects.filter(entry=entry, above_prompt_tokens=0).get()
    ModelPrice.objects.filter(pk=price.pk).update(input=1, source=catalogue.EDITED)
    out = StringIO()
    call_command("load_catalogue", stdout=out)
    assert out.getvalue().startswith("0 models and 0 prices")
    assert catalogue.entry("claude-haiku-5-5").note == "ours"
    assert catalogue.price("claude-haiku-5-5", TODAY).tiers[0].input == 1


def test_a_newer_list_renews_rows_nobody_edited(tmp_path):
    data = json.loads(catalogue.DATA_FILE.read_text())
    data["as_of"] = "2027-01-01"
    data["models"] = [m for m in data["models"] if m["model_id"] in ("claude-haiku-5-5", "claude-opus-5-5")]
    data["models"][0]["retires_at"] = "2028-01-01"
    data["prices"]["opus-5-5"].append(
        {**data["prices"]["opus-5-5"][0], "effective_from": "2027-01-01", "input": 3_000_000}
    )
    newer = tmp_path / "catalogue-2027-01-01.json"
    newer.write_text(json.dumps(data))
    ModelEntry.objects.filter(model_id="claude-opus-5-5").update(note="ours", source=catalogue.EDITED)
    n_models, n_prices = catalogue.load(newer)
    assert n_models == 1 and n_prices >= 1
    assert catalogue.entry("claude-haiku-5-5").retires_at == date(2028, 1, 1)
    assert catalogue.entry("claude-opus-5-5").note == "ours"
    assert catalogue.price("claude-opus-5-5", date(2027, 1, 1)).tiers[0].input == 3_000_000
    assert catalogue.price("claude-opus-5-5", TODAY).tiers[0].input == 4_000_000
    assert catalogue.load(newer) == (0, 0)


def test_the_providers_own_list_renews_life_and_limits_and_never_a_price():
    ModelEntry.objects.filter(model_id="claude-opus-5").update(source=catalogue.EDITED, display_name="ours")
    said = [
        {
            "model_id": "claude-haiku-5-5",
            "retires_at": "2027-12-31",
            "lifecycle": "deprecated",
            "context_tokens": 900_000,
        },
        {"model_id": "claude-opus-5", "display_name": "theirs"},
        {"model_id": "claude-next-6", "display_name": "Claude Next 6", "lifecycle": "active", "input": 1},
        {
            "model_id": "claude-sonnet-5",
            "retires_at": "soon",
            "lifecycle": "odd",
            "context_tokens": -1,
            "line": "x" * 99,
        },
        {"display_name": "nameless"},
    ]
    assert catalogue.note_offered(said) == 2
    haiku = catalogue.entry("claude-haiku-5-5")
    assert (haiku.retires_at, haiku.lifecycle, haiku.context_tokens) == (
        date(2027, 12, 31),
        "deprecated",
        900_000,
    )
    assert catalogue.entry("claude-opus-5").display_name == "ours"
    assert catalogue.entry("claude-sonnet-5").line == "sonnet"
    assert catalogue.entry("claude-next-6").display_name == "Claude Next 6"
    with pytest.raises(NoPrice):
        catalogue.price("claude-next-6", TODAY)
    assert catalogue.note_offered(said) == 0


def test_every_row_of_the_file_makes_sense():
    data = json.loads(catalogue.DATA_FILE.read_text())
    ids = [(m.get("provider", "anthropic"), m["model_id"]) for m in data["models"]]
    assert len(ids) == len(set(ids))
    for model in data["models"]:
        assert model["prices"] in data["prices"]
        if model.get("lifecycle") == "retired":
            assert model["retires_at"] <= data["as_of"]
    for rows in data["prices"].values():
        for row in rows:
            assert (
                0
                < row["cache_read"]
                < row["input"]
                < row["cache_write_5m"]
                < row["cache_write_1h"]
                <= row["output"]
            )
