"""A team with a way to the stub, and a clean memory of refused keys."""

from __future__ import annotations

import pytest

from foundation.jobs.kinds import register_kinds
from foundation.llm.circuits import CIRCUITS
from foundation.llm.jobs import KINDS
from foundation.llm.models import Connection
from foundation.llm.testing.stub_upstream import StubUpstream
from foundation.llm.vault import seal

PLANTED_KEY = "sk-ant-planted-7f3a9c1e5b"


@pytest.fixture(autouse=True)
def _forget_refusals():
    register_kinds(KINDS)
    CIRCUITS.clear()
    yield
    CIRCUITS.clear()


@pytest.fixture
def stub():
    with StubUpstream() as running:
        yield running


def make_connection(team, url, *, key=PLANTED_KEY, name="Claude", **fields):
    connection = Connection(team=team, name=name, base_url=url, **fields)
    connection.key_ciphertext, connection.key_last4 = seal(key, host=connection.host), key[-4:]
    connection.save()
    return connection


@pytest.fixture
def connection(team, stub):
    return make_connection(team, stub.url)
