"""Every page of preparing data: who may see it, what it costs, what it says."""

from __future__ import annotations

import pytest
from django.urls import reverse

from datasets import services
from datasets.models import Example
from datasets.tests.conftest import jsonl, tickets
from foundation.jobs.services import run_until_idle

pytestmark = pytest.mark.django_db

MOST_QUERIES = 15


@pytest.fixture
def prepared(dataset, bring_in, editor):
    """A dataset with findings, a review, an edit and a frozen version."""
    rows = tickets(120)
    rows += [*rows[:3], {"text": "write to me at ada@example.org about the invoice", "label": "billing"}]
    staged = bring_in(dataset, jsonl(rows))
    review = services.plan_review(actor=editor, dataset=dataset)
    services.accept_all(actor=editor, review=review, reviewer="demo")
    example = Example.objects.filter(dataset=dataset).first()
    services.edit_example(
        actor=editor, example=example, edition=1, prompt="My bill is wrong, please look", completion="billing"
    )
    version = services.start_freeze(actor=editor, dataset=dataset, override_reason="only a test of the pages")
    assert run_until_idle(60)
    version.refresh_from_db()
    assert version.is_frozen, version.error
    dataset.refresh_from_db()
    return {
        "dataset": dataset,
        "import": staged,
        "review": review,
        "example": example,
        "version": version,
        "finding": services.open_findings(dataset)[0],
    }


def pages(prepared):
    one = {name: row.pk for name, row in prepared.items()}
    return {
        "dataset-list": reverse("datasets:dataset-list", args=["support"]),
        "dataset-detail": reverse("datasets:dataset-detail", args=[one["dataset"]]),
        "import-detail": reverse("datasets:import-detail", args=[one["import"]]),
        "example-list": reverse("datasets:example-list", args=[one["dataset"]]),
        "example-detail": reverse("datasets:example-detail", args=[one["example"]]),
        "finding-detail": reverse("datasets:finding-detail", args=[one["finding"]]),
        "review-detail": reverse("datasets:review-detail", args=[one["review"]]),
        "review-row": reverse("datasets:review-detail", args=[one["review"]]) + "?at=1",
        "version-detail": reverse("datasets:version-detail", args=[one["version"]]),
        "version-rows": reverse("datasets:version-rows", args=[one["version"]]),
    }


EDITORS_ONLY = {
    "dataset-create": ("support",),
    "import-create": "dataset",
    "version-create": "dataset",
    "dataset-edit": "dataset",
}


def test_every_page_opens_for_editor_and_viewer_and_is_not_there_for_an_outsider(
    prepared, client_for, editor, viewer, outsider
):
    for name, url in pages(prepared).items():
        assert client_for(editor).get(url).status_code == 200, name
        assert client_for(viewer).get(url).status_code == 200, name
        assert client_for(outsider).get(url).status_code == 404, name


def test_pages_for_writing_refuse_a_viewer_with_a_sentence(prepared, client_for, editor, viewer, outsider):
    for name, of in EDITORS_ONLY.items():
        args = of if isinstance(of, tuple) else (prepared[of].pk,)
        url = reverse(f"datasets:{name}", args=args)
        assert client_for(editor).get(url).status_code == 200, name
        assert client_for(viewer).get(url).status_code == 403, name
        assert client_for(outsider).get(url).status_code == 404, name


def test_no_page_asks_more_than_fifteen_queries(
    prepared, client_for, editor, pages_ask_who_works, django_assert_max_num_queries
):
    client = client_for(editor)
    for name, url in pages(prepared).items():
        client.get(url)
        with django_assert_max_num_queries(MOST_QUERIES, info=name):
            client.get(url)
    for name in ("import-create", "version-create"):
        with django_assert_max_num_queries(MOST_QUERIES, info=name):
            client.get(reverse(f"datasets:{name}", args=[prepared["dataset"].pk]))


def test_an_edit_that_is_refused_asks_what_its_page_asks_and_three_questions_more(
    prepared, client_for, editor, pages_ask_who_works, django_assert_max_num_queries
):
    """The service reads the row and whether it is sealed; the row as it is now comes with all its page needs."""
    client = client_for(editor)
    row = prepared["dataset"].examples.filter(state="active").first()
    url = reverse("datasets:example-edit", args=[row.pk])
    for given, status in (
        ({"edition": row.edition, "prompt": "  "}, 422),
        ({"edition": row.edition + 1}, 409),
    ):
        given = {"prompt": "Where is my new card?", "completion": "card", "label": "card", **given}
        client.post(url, given)
        with django_assert_max_num_queries(MOST_QUERIES + 3, info=str(status)):
            assert client.post(url, given).status_code == status


def test_every_page_has_one_primary_button_at_most(prepared, client_for, editor):
    client = client_for(editor)
    for name, url in pages(prepared).items():
        body = client.get(url).content.decode()
        main = body[body.index("<main") : body.index("</main>")]
        assert main.count("btn primary") <= 1, name


def test_a_look_at_the_test_needs_a_reason_and_is_kept(prepared, client_for, editor, viewer):
    version = prepared["version"]
    client = client_for(editor)
    rows_url = reverse("datasets:version-rows", args=[version.pk]) + "?split=test"
    sealed = client.get(rows_url).content.decode()
    assert "Sealed test rows" in sealed
    export = reverse("datasets:version-export", args=[version.pk, "test", "chat"])
    assert client.get(export).status_code == 403
    open_url = reverse("datasets:version-open-test", args=[version.pk])
    assert client.post(open_url, {"reason": "short"}).status_code == 400
    assert client.post(open_url, {"reason": "the final claim of the quarter"}).status_code == 302
    assert "Sealed test rows" not in client.get(rows_url).content.decode()
    body = b"".join(client.get(export).streaming_content)
    assert body.count(b"\n") == version.n_test
    assert version.looks.count() == 1
    # what one person opened stays closed to the next
    assert "Sealed test rows" in client_for(viewer).get(rows_url).content.decode()


def test_test_rows_are_sealed_in_the_browser_of_rows_too(prepared, client_for, viewer):
    from datasets.models import VersionRow

    row = (
        VersionRow.objects.filter(version=prepared["version"], split="test").select_related("content").first()
    )
    client = client_for(viewer)
    for url in (
        reverse("datasets:example-detail", args=[row.example_id]),
        reverse("datasets:example-list", args=[prepared["dataset"].pk]),
    ):
        body = client.get(url).content.decode()
        assert row.content.prompt not in body
        assert "ealed" in body


def test_filters_that_are_not_offered_are_ignored(prepared, client_for, editor, django_assert_num_queries):
    client = client_for(editor)
    url = reverse("datasets:example-list", args=[prepared["dataset"].pk])
    plain = client.get(url).content.decode().count("data-row")
    for key in (
        "team__memberships__user__password__startswith",
        "_connector",
        "_negated",
        "order_by",
        "content__team",
    ):
        assert client.get(url, {key: "x"}).content.decode().count("data-row") == plain, key
    for value in ("1 OR 1=1", "9" * 40, "-1", "\0", "é"):
        for key in ("after", "before", "finding", "label", "state", "review", "q"):
            assert client.get(url, {key: value}).status_code == 200, (key, value)


def test_search_finds_words_in_prompt_and_answer(prepared, client_for, editor):
    client = client_for(editor)
    url = reverse("datasets:example-list", args=[prepared["dataset"].pk])
    assert client.get(url, {"q": "ada@example"}).content.decode().count("<tr data-row") == 1
    assert client.get(url, {"q": "nothing says this"}).content.decode().count("<tr data-row") == 0


@pytest.mark.parametrize(
    "name",
    [
        "dataset-detail",
        "example-list",
        "labels",
        "report",
        "review-create",
        "quality-create",
        "version-create",
        "write",
    ],
)
def test_a_page_of_a_dataset_without_rows_has_one_way_forward(name, dataset, client_for, editor):
    """U07: what, why, one action. The action is the same everywhere: bring in a file."""
    body = client_for(editor).get(reverse(f"datasets:{name}", args=[dataset.pk])).content.decode()
    main = body[body.index("<main") : body.index("</main>")]
    assert main.count("btn primary") == 1
    assert f'class="btn primary" href="{reverse("datasets:import-create", args=[dataset.pk])}"' in main
    assert "<table" not in main


def test_a_viewer_is_offered_nothing_that_only_an_editor_may_do(dataset, prepared, client_for, viewer):
    body = client_for(viewer).get(reverse("datasets:dataset-detail", args=[dataset.pk])).content.decode()
    main = body[body.index("<main") : body.index("</main>")]
    assert "btn primary" not in main and "<form" not in main
    assert "An editor of your team does this." in main


def test_a_file_without_a_row_says_so_and_asks_for_another(dataset, stage, client_for, editor):
    staged = stage(dataset, b"\x89PNG\r\n\x1a\n" + bytes(range(128, 256)) * 8, name="photo.jsonl")
    body = client_for(editor).get(reverse("datasets:import-detail", args=[staged.pk])).content.decode()
    assert "Nothing in this file can be read as rows." in body
    assert "Import these rows" not in body and "Choose another file" in body


def test_a_table_with_a_header_alone_says_that_no_row_stands_under_it(dataset, stage, client_for, editor):
    staged = stage(dataset, b"text,label\n", name="empty.csv")
    body = client_for(editor).get(reverse("datasets:import-detail", args=[staged.pk])).content.decode()
    assert "a header and no row under it" in body


def test_the_page_of_a_row_shows_its_tools_and_the_fields_beside_its_messages(
    dataset, bring_in, client_for, editor
):
    tools = [{"type": "function", "function": {"name": "track", "description": "Ask <b>ada@example.org</b>"}}]
    talk = [{"role": "user", "content": "Where is it?"}, {"role": "assistant", "content": "There."}]
    bring_in(dataset, jsonl([{"messages": talk, "tools": tools, "parallel_tool_calls": False}]))
    address = reverse("datasets:example-detail", args=[Example.objects.get().pk])
    page = client_for(editor).get(address).content.decode()
    assert "Ask &lt;b&gt;ada@example.org&lt;/b&gt;" in page
    assert "parallel_tool_calls" in page and "Exported where the format can hold them" in page
