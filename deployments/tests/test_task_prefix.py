"""A version that learnt several tasks is told which one it serves, in the words its training rows had (S45, D29)."""

from __future__ import annotations

import asyncio

import pytest
from django.urls import reverse
from django.utils import timezone

from datasets.domain.mixing import prefixed
from datasets.models import Dataset, DatasetVersion
from deployments.domain.routing import BUCKETS
from deployments.gateway import publishing, routes, shaping
from deployments.gateway.local import LocalModels
from deployments.gateway.routes import Routes
from deployments.models import Endpoint
from deployments.services import create_endpoint, set_split, start_rollout, update_endpoint
from deployments.services.endpoints import token_digest
from deployments.tests.gateway_help import QUESTION, TOKEN, harness, run, version
from foundation.llm.local.answering import NearestModel
from foundation.teams.errors import BadInput
from foundation.teams.models import AuditEvent

BOTH = ("Tickets", "Reviews")


@pytest.fixture
def mixed(team, use_case):
    """A frozen version mixed from two tasks."""
    dataset = Dataset.objects.create(team=team, use_case=use_case, name="Both")
    tasks = [{"task": name, "version": n, "checksum": ""} for n, name in enumerate(BOTH)]
    return DatasetVersion.objects.create(
        team=team,
        dataset=dataset,
        number=1,
        state="frozen",
        checksum="c" * 64,
        frozen_at=timezone.now(),
        recipe={"mix": {"tasks": tasks}},
    )


# --- the request -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("messages", "want"),
    [
        pytest.param(
            [{"role": "user", "content": "late"}],
            [{"role": "user", "content": "[TASK: Tickets]\n\nlate"}],
            id="a question",
        ),
        pytest.param(
            [
                {"role": "user", "content": "first"},
                {"role": "assistant", "content": "yes?"},
                {"role": "user", "content": "late"},
            ],
            [
                {"role": "user", "content": "first"},
                {"role": "assistant", "content": "yes?"},
                {"role": "user", "content": "[TASK: Tickets]\n\nlate"},
            ],
            id="the last question of a conversation",
        ),
        pytest.param(
            [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "late", "x": 1}]}],
            [
                {
                    "role": "user",
                    "content": [
                        {"type": "image"},
                        {"type": "text", "text": "[TASK: Tickets]\n\nlate", "x": 1},
                    ],
                }
            ],
            id="blocks stay blocks",
        ),
        pytest.param(
            [{"role": "user", "content": "[TASK: Tickets]\n\nlate"}],
            [{"role": "user", "content": "[TASK: Tickets]\n\nlate"}],
            id="named by the client already",
        ),
        pytest.param(
            [{"role": "user", "content": [{"type": "tool_result"}]}],
            [{"role": "user", "content": [{"type": "tool_result"}]}],
            id="no text to name it in",
        ),
        pytest.param([7, {"role": "user"}], [7, {"role": "user"}], id="nonsense"),
    ],
)
def test_the_task_is_named_in_front_of_the_question_that_is_answered(messages, want):
    body = {"messages": messages, "max_tokens": 5}
    before = repr(body)
    assert shaping.with_task(body, "Tickets") == {"messages": want, "max_tokens": 5}
    assert repr(body) == before


def test_a_provider_sees_the_task_for_a_version_of_several_and_the_record_keeps_the_clients_words():
    async def test(h):
        asked = QUESTION["messages"][-1]["content"]
        few = ({"role": "user", "content": "[TASK: Tickets]\n\nq"}, {"role": "assistant", "content": "a"})
        h.routes(
            [version(1, url=h.url), version(2, url=h.url, tasks=BOTH, few_shot=few)],
            candidate=2,
            share=BUCKETS,
            task="Tickets",
            text_retention="all",
        )
        assert (await h.ask()).status == 200
        assert h.provider.seen[-1]["body"]["messages"] == [
            *few, {"role": "user", "content": prefixed("Tickets", asked)}
        ]  # fmt: skip
        assert h.rows()[-1]["prompt_text"] == asked
        # The other version at the same address learnt one task and hears the client's words alone.
        h.routes(
            [version(1, url=h.url), version(2, url=h.url, tasks=BOTH)], candidate=2, share=0, task="Tickets"
        )
        assert (await h.ask()).status == 200
        assert h.provider.seen[-1]["body"]["messages"] == QUESTION["messages"]

    run(test)


def test_a_model_trained_here_sees_the_task_as_well_and_chat_completions_too():
    seen: list[str] = []

    class Model:
        def answer(self, texts):
            seen.extend(texts)
            return NearestModel.from_examples(["a", "b"], ["x", "y"]).answer(texts)

    async def test(h):
        h.routes([version(1, provider="local", artefact="/x", tasks=BOTH)], task="Reviews")
        assert (await h.ask()).status == 200
        chat = {"messages": [{"role": "user", "content": "lovely"}]}
        assert (await h.ask(chat, path="/triage/v1/chat/completions")).status == 200
        assert seen == [prefixed("Reviews", QUESTION["messages"][-1]["content"]), "[TASK: Reviews]\n\nlovely"]

    run(test, local=LocalModels(load=lambda path: Model()))


# --- who says which task -----------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_an_endpoint_of_such_a_version_needs_its_task_and_publishes_it(
    use_case, make_version, connection, editor, mixed
):
    several = make_version("Both", connection=connection, version=mixed)
    assert several.tasks == list(BOTH)
    for wrong in ({}, {"task": "Refunds"}):
        with pytest.raises(BadInput, match="learnt several tasks") as refused:
            create_endpoint(actor=editor, use_case=use_case, slug="both", version=several, **wrong)
        assert refused.value.field == "task"
    assert not Endpoint.objects.filter(slug="both").exists()
    made = create_endpoint(actor=editor, use_case=use_case, slug="both", version=several, task="Reviews")
    event = AuditEvent.objects.filter(verb="endpoint.created").latest("pk")
    assert "task" in event.fields
    ready = routes.ready(publishing.build(), lambda v: "sk-x")
    assert ready.addresses["both"].task == "Reviews"
    assert ready.versions[several.pk].tasks == BOTH

    async def inside():
        async with harness() as h:
            one = version(several.pk, url=h.url, tasks=ready.versions[several.pk].tasks)
            tokens = {token_digest(TOKEN): (made.pk, None)}
            h.gateway.routes = Routes("e", 1, ready.addresses, {several.pk: one}, tokens)
            assert (await h.ask(path="/both/v1/messages")).status == 200
            assert h.provider.seen[-1]["body"]["messages"][-1]["content"].startswith("[TASK: Reviews]\n\n")

    asyncio.run(inside())
    with pytest.raises(BadInput, match="learnt several tasks"):
        update_endpoint(actor=editor, endpoint=made, task="")


@pytest.mark.django_db
def test_such_a_version_takes_over_only_where_the_task_is_known(
    use_case, make_version, connection, editor, endpoint, mixed
):
    several = make_version("Both", connection=connection, version=mixed)
    with pytest.raises(BadInput, match="learnt several tasks") as refused:
        start_rollout(actor=editor, endpoint=endpoint, candidate=several)
    assert refused.value.field == "candidate"
    with pytest.raises(BadInput, match="learnt several tasks"):
        set_split(
            actor=editor,
            endpoint=endpoint,
            baseline=endpoint.baseline,
            candidate=several,
            share=0.1,
            reason="try",
        )
    update_endpoint(actor=editor, endpoint=endpoint, task="Tickets")
    assert start_rollout(actor=editor, endpoint=endpoint, candidate=several).candidate == several


@pytest.mark.django_db
def test_the_forms_offer_the_task_and_the_page_shows_it(
    team, use_case, make_version, connection, editor, endpoint, mixed, client_for
):
    client = client_for(editor)
    create = reverse("deployments:endpoint-create", args=[team.slug])
    edit = reverse("deployments:endpoint-edit", args=[endpoint.pk])
    for url in (create, edit):  # nobody is asked while every version learnt one task
        assert "task" not in client.get(url).context["form"].fields
    several = make_version("Both", connection=connection, version=mixed)
    offered = client.get(create).context["form"].fields["task"].choices
    assert [value for value, _ in offered] == ["", "Reviews", "Tickets"]
    sent = {"version": several.pk, "slug": "both", "text_retention": "none", "system_policy": "replace"}
    refused = client.post(create, sent)
    assert refused.status_code == 422
    assert "learnt several tasks" in refused.content.decode()
    assert client.post(create, {**sent, "task": "Tickets"}).status_code == 302
    made = Endpoint.objects.get(slug="both")
    body = client.get(reverse("deployments:endpoint-detail", args=[made.pk])).content.decode()
    assert "Its task is “Tickets”" in body
    form = client.get(reverse("deployments:endpoint-edit", args=[made.pk])).context["form"]
    assert form.initial["task"] == "Tickets"
