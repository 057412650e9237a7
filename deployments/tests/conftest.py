"""A use case with a version that answers, for tests of shipping."""

from __future__ import annotations

import os

import pytest


def pytest_collection_modifyitems(config, items):
    """The gateway's fault tests make a SQLite database of their own: on the PostgreSQL lane they would say the same again."""
    if os.environ.get("ONLY_DATABASE_TESTS") == "1":
        own = [item for item in items if item.path.name == "test_faults_gateway.py"]
        config.hook.pytest_deselected(items=own)
        items[:] = [item for item in items if item not in own]


@pytest.fixture
def use_case(team, editor):
    from decisions.services import create_use_case

    return create_use_case(
        actor=editor, team=team, name="Ticket triage", task_kind="classify", labels=["billing", "delivery"]
    )


@pytest.fixture
def make_candidate(use_case, editor):
    from evaluations.models import Candidate

    def make(name="Prompt", *, model="claude-haiku-5-5", of=None, **fields):
        owner = of or use_case
        number = Candidate.objects.count()
        return Candidate.objects.create(
            team=owner.team,
            use_case=owner,
            name=name,
            kind="prompt",
            model_id=model,
            digest=f"{number:064d}",
            created_by=editor,
            **fields,
        )

    return make


@pytest.fixture
def connection(team):
    from foundation.llm.models import Connection
    from foundation.llm.vault import seal

    made = Connection(team=team, name="Stub", base_url="http://127.0.0.1:9999")
    made.key_ciphertext, made.key_last4 = seal("sk-planted-secret", host=made.host), "cret"
    made.save()
    return made


@pytest.fixture
def make_version(use_case, make_candidate, editor):
    from deployments.services import register_version

    def make(name="Prompt", **fields):
        return register_version(actor=editor, use_case=use_case, candidate=make_candidate(name, **fields))

    return make


@pytest.fixture
def endpoint(use_case, make_version, connection, editor):
    from deployments.services import create_endpoint

    return create_endpoint(
        actor=editor, use_case=use_case, slug="triage", version=make_version(connection=connection)
    )
