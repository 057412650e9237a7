"""A model trained here, from its file to the gateway's answer."""

from __future__ import annotations

import asyncio

import pytest

from deployments.domain.features import Vocabulary
from deployments.gateway import publishing, routes
from deployments.gateway.routes import Routes
from deployments.services import create_endpoint, register_version
from deployments.services.endpoints import token_digest
from deployments.tests.gateway_help import QUESTION, TOKEN, harness
from evaluations.models import Candidate
from foundation.files import store
from foundation.llm.connections import local_connection
from foundation.llm.local.answering import NearestModel

pytestmark = pytest.mark.django_db


@pytest.fixture
def trained(team, use_case, editor, tmp_path, settings):
    settings.FILES_DIR = tmp_path / "files"
    model = NearestModel.from_examples(
        ["where is my parcel", "the parcel is late", "my invoice is wrong", "charged twice on my card"],
        ["delivery", "delivery", "billing", "billing"],
    )
    path = tmp_path / "model.safetensors"
    model.save(path)
    blob = store.put(team=team, stream=path.read_bytes(), name="model", kind="model", actor=editor)
    return Candidate.objects.create(
        team=team,
        use_case=use_case,
        name="Nearest example",
        kind="nearest",
        connection=local_connection(team),
        model_id=f"local:{blob.sha256}",
        artefact=blob,
        digest=blob.sha256,
        created_by=editor,
    )


def test_a_trained_candidate_is_registered_published_and_answers(trained, use_case, editor, endpoint):
    version = register_version(actor=editor, use_case=use_case, candidate=trained)
    create_endpoint(actor=editor, use_case=use_case, slug="local", version=version, text_retention="all")
    found = publishing.build()
    ready = routes.ready(found, publishing.open_key)
    place = ready.addresses["local"]
    assert ready.versions[version.pk].provider == "local" and ready.versions[version.pk].trouble == ""

    async def inside():
        async with harness() as h:
            h.gateway.local.warm([ready.versions[version.pk].artefact])
            h.gateway.routes = Routes(
                "e", 1, ready.addresses, ready.versions, {token_digest(TOKEN): (place.id, None)}
            )
            reply = await h.ask(QUESTION, path="/local/v1/messages")
            assert reply.json["content"][0]["text"] == "delivery"
            row = h.rows()[0]
            assert row["predicted"] == "delivery" and 0 < row["confidence"] <= 1 and row["cost_microusd"] == 0

    asyncio.run(inside())


def test_a_file_that_is_gone_makes_its_own_endpoint_fail_only(trained, use_case, editor, endpoint):
    version = register_version(actor=editor, use_case=use_case, candidate=trained)
    create_endpoint(actor=editor, use_case=use_case, slug="local", version=version)
    store.path(trained.artefact).unlink()
    ready = routes.ready(publishing.build(), publishing.open_key)
    assert ready.versions[version.pk].artefact == "" and ready.versions[endpoint.baseline_id].headers


def test_the_words_of_the_training_rows_come_along(trained, use_case, editor, team):
    from datasets.models import Content, Dataset, DatasetVersion, VersionRow

    dataset = Dataset.objects.create(team=team, use_case=use_case, name="Tickets")
    frozen = DatasetVersion.objects.create(team=team, dataset=dataset, number=1)
    for position, (split, prompt) in enumerate((("train", "where is my parcel"), ("test", "secret words"))):
        content = Content.objects.create(
            team=team, digest=bytes([position]) * 32, prompt=prompt, completion="x"
        )
        VersionRow.objects.create(version=frozen, content=content, split=split, position=position)
    trained.version = frozen
    trained.save()
    version = register_version(actor=editor, use_case=use_case, candidate=trained)
    vocabulary = Vocabulary.from_text(version.vocabulary)
    assert vocabulary.knows("parcel") and not vocabulary.knows("secret")
    assert version.metadata["dataset_version"] == "Tickets v1"
