from __future__ import annotations

import asyncio
import os
import stat
import time
from datetime import UTC, datetime

import pytest
from django.db import OperationalError

from deployments.gateway import recorder as recording
from deployments.gateway import writing
from deployments.gateway.budgets import Budgets, purse
from deployments.gateway.leasing import lease
from deployments.gateway.protocol import uuid7
from deployments.gateway.recorder import Away, Recorder, Spill
from deployments.models import BudgetDay, Feedback, Prediction
from deployments.services import create_endpoint, update_endpoint


def row(number=0, **changes):
    return {"kind": "prediction", "id": str(uuid7()), "number": number, **changes}


class Database:
    """A list that can be away."""

    def __init__(self):
        self.rows, self.is_away, self.calls = [], False, 0

    def write(self, rows):
        self.calls += 1
        if self.is_away:
            raise Away("away")
        known = {r["id"] for r in self.rows}
        self.rows += [r for r in rows if r["id"] not in known]
        return len(rows)


@pytest.fixture
def database():
    return Database()


def recorder(database, tmp_path, **changes):
    return Recorder(database.write, Spill(tmp_path / "spill"), mask=str, **changes)


def settle(made):
    while made.step():
        pass


def test_rows_reach_the_database_in_batches(database, tmp_path):
    made = recorder(database, tmp_path)
    for n in range(450):
        made.put(row(n))
    settle(made)
    assert len(database.rows) == 450 and database.calls == 3 and made.dropped == 0


def test_beyond_the_limit_rows_are_dropped_and_counted(database, tmp_path):
    made = recorder(database, tmp_path, limit=100)
    for n in range(130):
        made.put(row(n))
    settle(made)
    assert len(database.rows) == 100 and made.dropped == 30


def test_what_could_not_be_written_waits_on_disk_and_comes_back_once(database, tmp_path, monkeypatch):
    monkeypatch.setattr(recording, "RETRY_S", 0.05)
    made = recorder(database, tmp_path)
    database.is_away = True
    for n in range(500):
        made.put(row(n))
    settle(made)
    files = list((tmp_path / "spill").iterdir())
    assert database.rows == [] and made.is_away and len(files) == 1
    assert stat.S_IMODE(os.stat(files[0]).st_mode) == 0o600
    database.is_away = False
    time.sleep(0.06)
    made.put(row(500))
    settle(made)
    assert sorted(r["number"] for r in database.rows) == list(range(501))
    assert not list((tmp_path / "spill").iterdir()) and made.dropped == 0 and not made.is_away


def test_the_next_process_takes_back_what_the_last_one_left_even_half_a_line(database, tmp_path):
    database.is_away = True
    first = recorder(database, tmp_path)
    for n in range(10):
        first.put(row(n))
    first.start()
    first.stop()
    (file,) = (tmp_path / "spill").iterdir()
    file.write_bytes(file.read_bytes() + b'{"kind": "pred')
    database.is_away = False
    second = recorder(database, tmp_path)
    settle(second)
    assert sorted(r["number"] for r in database.rows) == list(range(10))
    assert not list((tmp_path / "spill").iterdir())


def test_a_file_another_gateway_writes_to_is_left_alone(database, tmp_path):
    writer, reader = Spill(tmp_path), Spill(tmp_path)
    writer.add([row(1)])
    assert list(reader.chunks()) == []
    writer.close()
    assert [r["number"] for part in Spill(tmp_path).chunks() for r in part] == [1]


def test_a_full_disk_drops_and_counts(database, tmp_path, monkeypatch):
    """T59 in short."""
    database.is_away = True
    made = Recorder(database.write, Spill(tmp_path / "spill", limit_bytes=2000), mask=str)
    for n in range(400):
        made.put(row(n))
    settle(made)
    assert made.dropped == 400
    monkeypatch.setattr(recording.os, "open", lambda *a, **k: (_ for _ in ()).throw(OSError(28, "full")))
    small = Recorder(database.write, Spill(tmp_path / "other"), mask=str)
    small.put(row())
    settle(small)
    assert small.dropped == 1


def test_an_outage_in_the_middle_of_taking_back_loses_nothing(database, tmp_path, monkeypatch):
    monkeypatch.setattr(recording, "RETRY_S", 0.0)
    made = recorder(database, tmp_path)
    database.is_away = True
    for n in range(1000):
        made.put(row(n))
    settle(made)
    database.is_away = False
    original, calls = database.write, []

    def flaky(rows):
        calls.append(1)
        if len(calls) == 3:
            raise Away("again")
        return original(rows)

    made.write = flaky
    for n in range(1000, 1050):
        made.put(row(n))
    for _ in range(20):
        made.step()
    assert sorted(r["number"] for r in database.rows) == list(range(1050))


# --- tables ------------------------------------------------------------------------------------------------------------


def prediction_row(endpoint, **changes):
    return {
        "kind": "prediction",
        "id": str(uuid7()),
        "team_id": endpoint.team_id,
        "endpoint_id": endpoint.pk,
        "version_id": endpoint.baseline_id,
        "arm": "baseline",
        "at": datetime.now(UTC).isoformat(),
        "status": 200,
        "features": {"words": 3},
        "text_until": None,
        "shadow_of": None,
        **changes,
    }


def feedback_row(endpoint, prediction_id, **changes):
    return {
        "kind": "feedback",
        "id": str(uuid7()),
        "team_id": endpoint.team_id,
        "endpoint_id": endpoint.pk,
        "prediction_id": prediction_id,
        "at": datetime.now(UTC).isoformat(),
        "label": "billing",
        **changes,
    }


@pytest.fixture(autouse=True)
def keep_the_connection(monkeypatch):
    """Tests share one connection, which must not be closed under them."""
    monkeypatch.setattr(writing, "let_go", lambda: None)


@pytest.mark.django_db
def test_writing_twice_changes_nothing(endpoint):
    rows = [prediction_row(endpoint) for _ in range(250)]
    rows += [feedback_row(endpoint, rows[0]["id"])]
    assert writing.write(rows) == writing.write(rows) == 251
    assert (Prediction.objects.count(), Feedback.objects.count()) == (250, 1)
    assert Prediction.objects.newest().first().features == {"words": 3}


@pytest.mark.django_db(transaction=True)
def test_a_row_of_a_deleted_endpoint_takes_no_other_with_it(endpoint):
    rows = [prediction_row(endpoint), prediction_row(endpoint, endpoint_id=999_999), prediction_row(endpoint)]
    assert writing.write(rows) == 2
    assert Prediction.objects.count() == 2


@pytest.mark.django_db
def test_feedback_on_another_endpoints_prediction_is_left_out(endpoint, use_case, make_version, editor):
    """T32: a token of one endpoint says nothing about another's rows; one that is not here yet may still come."""
    other = create_endpoint(actor=editor, use_case=use_case, slug="other", version=make_version("B"))
    mine = prediction_row(endpoint)
    rows = [mine, feedback_row(other, mine["id"]), feedback_row(endpoint, str(uuid7()))]
    assert writing.write(rows) == 2
    assert list(Feedback.objects.values_list("endpoint_id", flat=True)) == [endpoint.pk]


@pytest.mark.django_db
def test_a_database_error_says_away(endpoint, monkeypatch):
    def locked(*args, **kwargs):
        raise OperationalError("database is locked")

    monkeypatch.setattr(writing, "_insert", locked)
    with pytest.raises(Away, match="locked"):
        writing.write([prediction_row(endpoint)])


# --- money -------------------------------------------------------------------------------------------------------------


class Bank:
    """The day's budget in a number, leased like the database leases it."""

    def __init__(self, cap):
        self.cap, self.leased = cap, 0

    def lease(self, endpoint, wanted, day):
        block = min(self.cap - self.leased, max(wanted, self.cap // 96))
        if block <= 0 or block < wanted:
            return 0
        self.leased += block
        return block


def test_a_cap_is_never_passed_whatever_dies(tmp_path):
    """Prepaid blocks: forty processes that die at once spend no more than the day has."""
    bank, spent = Bank(1_000_000), 0
    for number in range(40):
        money = Budgets(bank.lease, tmp_path / "budgets.json", lambda: "2026-11-22")
        for _ in range(50):
            if money.take(7, 900) or asyncio.run(money.fetch(7, 900)):
                spent += 600
                money.settle(7, 900, 600)
        if number % 2:
            money.put_away()  # every other one ends in order
    assert spent <= bank.leased <= 1_000_000
    assert spent >= 900_000  # and most of the money was of use


def test_a_model_that_costs_nothing_needs_no_money(tmp_path):
    money = Budgets(Bank(0).lease, tmp_path / "b.json", lambda: "d")
    assert money.take(7, 0) and not money.take(7, 1)


def test_two_gateways_in_one_folder_hold_two_purses(tmp_path):
    first, held = purse(tmp_path)
    second, _ = purse(tmp_path)
    assert first != second
    held.close()
    assert purse(tmp_path)[0] == first


def test_money_fetched_before_is_spent_while_the_database_is_away(tmp_path):
    bank = Bank(960_000)
    money = Budgets(bank.lease, tmp_path / "b.json", lambda: "d")
    money.top_up(7, 0)
    money.lease = None
    assert all(money.take(7, 100) for _ in range(100))
    assert not money.take(7, 100)
    assert not asyncio.run(money.fetch(7, 100))
    cold = Budgets(bank.lease, tmp_path / "b.json", lambda: "d")
    assert cold.block == {7: 0}


def test_a_new_day_begins_with_nothing_of_the_old_one(tmp_path):
    day = ["a"]
    bank = Bank(960_000)
    money = Budgets(bank.lease, tmp_path / "b.json", lambda: day[0])
    money.top_up(7, 0)
    assert money.take(7, 1)
    day[0] = "b"
    assert not money.take(7, 1)


@pytest.mark.django_db
def test_leases_add_up_to_the_days_budget_and_no_further(endpoint, editor):
    update_endpoint(actor=editor, endpoint=endpoint, daily_budget_microusd=1000)
    granted = [lease(endpoint.pk, 300, "2026-11-22") for _ in range(5)]
    assert granted == [300, 300, 300, 0, 0]
    assert lease(endpoint.pk, 50, "2026-11-22") == 50
    assert BudgetDay.objects.get().leased_microusd == 950
    assert lease(endpoint.pk, 300, "2026-11-23") == 300
    update_endpoint(actor=editor, endpoint=endpoint, daily_budget_microusd=None)
    assert lease(endpoint.pk, 1, "2026-11-22") == 0
