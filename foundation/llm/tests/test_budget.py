"""Money: reserve, sent, settle, sweep; and the race over a cap, with processes, calls and a kill -9."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import timedelta

import pytest
from django.conf import settings
from django.utils import timezone

from foundation.llm import budget, catalogue
from foundation.llm.domain.bounds import prompt_tokens_bound
from foundation.llm.domain.messages import Message, Request
from foundation.llm.models import Reservation, ReservationState
from foundation.llm.testing.stub_upstream import StubUpstream

pytestmark = pytest.mark.django_db


@pytest.fixture
def ledger(team):
    return budget.open_budget("scope", 1000, team=team)


def standing(ledger):
    row = ledger.budget()
    return row.spent_microusd, row.reserved_microusd, row.unconfirmed_microusd, row.calls


def test_the_usual_course(ledger):
    held = ledger.reserve(300)
    assert standing(ledger) == (0, 300, 0, 0)
    assert budget.mark_sent(held)
    assert budget.settle(held, 120)
    assert standing(ledger) == (120, 0, 0, 1)


def test_the_cap_holds_to_the_last_micro_dollar(ledger):
    assert ledger.reserve(1001) is None
    first = ledger.reserve(999)
    assert ledger.reserve(2) is None
    second = ledger.reserve(1)
    assert second is not None and standing(ledger) == (0, 1000, 0, 0)
    budget.release(first)
    budget.settle(second, 1)
    assert standing(ledger) == (1, 0, 0, 1)
    assert ledger.reserve(1000) is None and ledger.reserve(999) is not None


def test_booking_twice_changes_nothing(ledger):
    held = ledger.reserve(300)
    assert budget.settle(held, 100)
    assert not budget.settle(held, 100)
    assert not budget.release(held)
    assert not budget.mark_sent(held)
    assert standing(ledger) == (100, 0, 0, 1)


def test_a_lost_answer_counts_at_its_bound(ledger):
    held = ledger.reserve(300)
    budget.mark_sent(held)
    assert budget.settle(held, None)
    assert standing(ledger) == (300, 0, 300, 1)
    assert Reservation.objects.get().unconfirmed


def test_a_call_dearer_than_its_bound_is_booked_as_it_was(ledger, caplog):
    held = ledger.reserve(300)
    assert budget.settle(held, 301)
    assert standing(ledger)[0] == 301
    assert "its bound was 300" in caplog.text


def test_the_sweep_books_what_was_sent_and_returns_what_was_not(ledger):
    sent, unsent, young = ledger.reserve(300), ledger.reserve(200), ledger.reserve(100, hold_s=3600)
    budget.mark_sent(sent)
    assert budget.sweep() == 0
    later = timezone.now() + timedelta(seconds=budget.HOLD_S + 1)
    assert budget.sweep(now=later) == 2
    assert standing(ledger) == (300, 100, 300, 1)
    assert budget.sweep(now=later) == 0
    states = dict(Reservation.objects.values_list("pk", "state"))
    assert states == {
        sent.pk: ReservationState.SETTLED,
        unsent.pk: ReservationState.RELEASED,
        young.pk: ReservationState.HELD,
    }


def test_an_answer_after_the_sweep_changes_nothing(ledger):
    held = ledger.reserve(300)
    budget.mark_sent(held)
    budget.sweep(now=timezone.now() + timedelta(hours=1))
    assert not budget.settle(held, 5)
    assert standing(ledger) == (300, 0, 300, 1)


def test_opening_again_raises_the_cap_and_keeps_what_was_spent(team, ledger):
    budget.settle(ledger.reserve(900), 900)
    again = budget.open_budget("scope", 2000, team=team)
    assert again == ledger
    assert again.reserve(1100) is not None and again.reserve(1) is None


def test_a_cap_below_nothing_is_nothing(team):
    ledger = budget.open_budget("none", -5, team=team)
    assert ledger.reserve(1) is None


def test_a_job_has_one_budget(team):
    class Job:
        pk, team_id = 7, None

    Job.team_id = team.pk
    ledger = budget.open_budget(Job(), 500)
    assert budget.ledger_for(7) == ledger and budget.ledger_for(8) is None
    assert budget.reserve(7, 500) is not None
    assert budget.reserve(7, 1) is None and budget.reserve(8, 1) is None


# --- T14 ---

# The race, in a process of its own: it imports once and forks its clerks and starters, none of which shares a
# database connection with another. It prints one line a round.
RACE = """
import asyncio, os, signal, sys, time, django
django.setup()
from datetime import timedelta
from django.core.management import call_command
from django.utils import timezone
from foundation.llm import adapters, budget, connections
from foundation.llm.domain.messages import Message, Request
from foundation.llm.door import complete
from foundation.llm.errors import BudgetReached
from foundation.llm.models import Connection, Reservation
from foundation.llm.testing.stub_upstream import stats_of
from foundation.teams.models import Team

adapters.claude
url, bound, rounds, kill_from = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])

def forked(work):
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        work()
        code = 0
    except BaseException as error:
        print("FAILED", type(error).__name__, error, flush=True)
    finally:
        os._exit(code)

def wait(*pids):
    return [os.waitpid(pid, 0)[1] for pid in pids]

def prepare():
    call_command("migrate", run_syncdb=True, verbosity=0)
    team = Team.objects.create(slug="race", name="Race")
    connections.default_connection(team)
    Connection.objects.update(max_concurrency=64)
    for n in range(rounds):
        budget.open_budget(f"round {n}", 10 * bound, team=team)

async def one(connection, ledger, n):
    request = Request("claude-haiku-5-5", "", (Message("user", f"{n:04d}"),), 100)
    try:
        await complete(connection, request, ledger=ledger, timeout_s=20, cache=False)
    except BudgetReached:
        pass

async def start(n_round, first):
    connection = await Connection.objects.aget(from_environment=True)
    ledger = budget.Ledger((await budget.Budget.objects.aget(scope=f"round {n_round}")).pk)
    await asyncio.gather(*[one(connection, ledger, n) for n in range(first, first + 16)])

def stand(n_round, calls):
    budget.sweep(now=timezone.now() + timedelta(seconds=60))
    b = budget.Budget.objects.get(scope=f"round {n_round}")
    left = Reservation.objects.filter(budget=b, state__in=["held", "sent"]).count()
    booked = b.cap_microusd, b.spent_microusd, b.reserved_microusd, b.unconfirmed_microusd
    print(calls, *booked, left, flush=True)

wait(forked(prepare))
for n in range(rounds):
    before = stats_of(url)["calls"]
    pids = [forked(lambda p=p: asyncio.run(start(n, p * 16))) for p in range(4)]
    if n >= kill_from:
        while stats_of(url)["calls"] == before:
            time.sleep(0.005)
        os.kill(pids[0], signal.SIGKILL)
    wait(*pids)
    calls = stats_of(url)["calls"] - before
    wait(forked(lambda: stand(n, calls)))
"""


@pytest.mark.faults
def test_t14_many_starters_never_cross_a_cap(tmp_path):
    """64 starters in 4 processes, a cap of ten calls, 5 rounds; in the last two a process gets a kill -9."""
    request = Request("claude-haiku-5-5", "", (Message("user", "0000"),), 100)
    bound = catalogue.bound_microusd(request)
    # Every call costs exactly its bound, so ten calls are the cap and an eleventh would cross it.
    full = {"fault": "usage", "input_tokens": prompt_tokens_bound(request), "output_tokens": 100}
    (tmp_path / "var").mkdir()
    with StubUpstream(latency_ms=150, script=[full]) as stub:
        environment = {
            **os.environ,
            "VAR_DIR": str(tmp_path / "var"),
            "DJANGO_SETTINGS_MODULE": "ftportal.settings",
            "ANTHROPIC_API_KEY": "sk-race-key-1234",
            "ANTHROPIC_BASE_URL": stub.url,
            "DATABASE_URL": "",
            "LOG_LEVEL": "ERROR",
        }
        done = subprocess.run(
            [sys.executable, "-c", RACE, stub.url, str(bound), "5", "3"],
            env=environment,
            cwd=settings.BASE_DIR,
            capture_output=True,
            text=True,
            timeout=240,
        )
    assert done.returncode == 0 and "FAILED" not in done.stdout, done.stdout + done.stderr[-3000:]
    rounds = [tuple(map(int, line.split())) for line in done.stdout.splitlines()]
    assert len(rounds) == 5
    for number, (calls, cap, spent, reserved, unconfirmed, left) in enumerate(rounds):
        assert 1 <= calls <= 10
        assert spent + reserved <= cap == 10 * bound
        assert (reserved, left) == (0, 0), "nothing leaks"
        assert spent >= calls * bound, "what the provider was asked is booked"
        if number < 3:
            assert (calls, spent, unconfirmed) == (10, cap, 0)
