"""Lists of rows at size: filters against plain truth, pages that neither skip nor repeat, search by index and without."""

from __future__ import annotations

import importlib
import itertools
from contextlib import nullcontext
from datetime import timedelta
from unittest.mock import Mock

import pytest
from django.apps import apps
from django.db import connection
from django.db.models import Max
from django.urls import reverse
from django.utils import timezone

from datasets import listing, searching, services
from datasets.domain.listing import STATES, Filters, fts_expression, grams
from datasets.listing import sources_of
from datasets.models import Content, Example, Finding, Import, VersionRow
from datasets.services import checks, imports
from datasets.tests.conftest import jsonl, tickets
from foundation.jobs.models import Job
from foundation.jobs.services import run_until_idle

pytestmark = pytest.mark.django_db

ODD = [
    {"text": 'He said "refund AND cancel" NOT later* (card OR x)', "label": "card"},
    {"text": "Die Straße nach Zürich: 漢字かな交じり文 und İstanbul", "label": "login"},
    {"text": "100% of_all \\ back'slash; DROP TABLE datasets_searched;--", "label": "card"},
    {"text": "NEAR(ticket, 2) prompt: completion - ^start {column}", "label": "billing"},
    {"text": "Zürich alone stands here ok", "label": "billing"},
]


@pytest.fixture
def rows(dataset, bring_in):
    bring_in(dataset, jsonl([*tickets(120), *ODD]))
    return dataset


def walk(dataset, *, finding=None, between=lambda: None, **narrow) -> list[int]:
    """Row ids over all pages, forwards."""
    seen, after = [], None
    for _ in range(1000):
        page = listing.page_of(dataset, Filters(**{**narrow, "after": after}), finding=finding)
        seen += [row.pk for row in page.rows]
        if page.next is None:
            return seen
        after = page.next
        between()
    raise AssertionError("the pages never end")


def truth(dataset, words="", **conditions) -> list[int]:
    found = Example.objects.filter(dataset=dataset, **conditions).select_related("content").order_by("id")
    return [
        row.pk
        for row in found
        if words.lower() in row.content.prompt.lower() or words.lower() in row.content.completion.lower()
    ]


@pytest.mark.parametrize(
    "words",
    [
        "Ticket 7",
        "ticket 77: my",
        "ALPHA",
        "refund AND cancel",
        '"refund',
        "NOT later*",
        "(card OR x)",
        "NEAR(ticket, 2)",
        "prompt: completion",
        "{column}",
        "^start",
        "-",
        "100%",
        "of_all",
        "\\ back'slash",
        "'; DROP TABLE",
        "zürich",
        "ZÜRICH",
        "漢字かな",
        "漢",
        "straße",
        "ic",
        "billing",
        "no row says this",
        "%%%",
        "___",
        '"""',
    ],
)
def test_a_search_finds_exactly_the_rows_that_hold_the_words(rows, words):
    assert listing.is_indexed(rows)
    assert walk(rows, words=words) == truth(rows, words)
    assert walk(rows, words=words, order="newest") == truth(rows, words)[::-1]


def test_rows_are_found_before_their_index_is_made(rows):
    expected = truth(rows, "alpha")
    assert expected
    Import.objects.update(indexed_at=None)
    page = listing.page_of(rows, Filters(words="alpha"))
    assert page.by_rows
    assert walk(rows, words="alpha") == expected


def test_nothing_of_a_needle_is_an_operator():
    assert grams('a"b') == ['a"b']
    assert fts_expression('a"b') == '"a""b"'
    assert grams("ABCDEFG") == ["abc", "bcd", "cde", "def", "efg"]
    # of 38 the first, the last and fourteen between
    long = "abcdefghijklmnopqrstuvwxyz0123456789äöüß"
    assert (len(grams(long)), grams(long)[0], grams(long)[-1]) == (16, "abc", "öüß")
    assert all(gram in long for gram in grams(long))
    assert grams("ab") == []
    # İ folds to two characters: the index cannot be asked
    assert grams("İstanbul") == []


def test_a_text_that_goes_leaves_the_index(rows):
    def proposed(words):
        return searching.propose(words, above=0, upto=10**12, newest_first=False, most=100)

    blanked, deleted = (Content.objects.get(prompt__contains=text) for text in ("漢字かな", "NEAR(ticket"))
    assert proposed("漢字かな") == [blanked.pk]
    assert proposed("near(ticket") == [deleted.pk]
    Content.objects.filter(pk=blanked.pk).update(prompt="", completion="")
    assert proposed("漢字かな") == []
    Example.objects.filter(content=deleted).delete()
    deleted.delete()
    assert proposed("near(ticket") == []
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            # the index keeps a copy of what it indexes: that is gone too
            cursor.execute("SELECT count(*) FROM datasets_searched_content WHERE c0 LIKE '%漢字%'")
            assert cursor.fetchone() == (0,)


def test_an_edited_text_is_found_and_after_undo_the_old_one(rows, editor):
    row = Example.objects.get(content__prompt__contains="Zürich alone")
    edit = services.edit_example(
        actor=editor, example=row, edition=row.edition, prompt="Winterthur instead", completion="billing"
    )
    assert walk(rows, words="winterthur") == [row.pk]
    assert walk(rows, words="zürich alone") == []
    services.undo_example_edit(actor=editor, edit=edit)
    assert walk(rows, words="zürich alone") == [row.pk]


def test_an_index_that_was_interrupted_goes_on_where_it_was(dataset, bring_in, monkeypatch):
    monkeypatch.setattr(imports, "INDEXED_A_TRANSACTION", 40)
    monkeypatch.setattr(imports, "start_indexing", lambda **_: None)
    staged = bring_in(dataset, jsonl(tickets(100)))
    assert [imports.index_rows(import_=staged) for _ in range(2)] == [40, 40]
    assert not listing.is_indexed(dataset)
    # another worker that read the place before and comes late writes nothing
    stale = Import.objects.get(pk=staged.pk)
    assert imports.index_rows(import_=stale) == 20
    assert imports.index_rows(import_=staged) == 0
    assert listing.is_indexed(dataset)
    assert walk(dataset, words="ticket") == truth(dataset, "ticket")


def test_an_import_makes_its_index_by_itself_and_once(rows):
    job = Job.objects.get(kind="datasets.index")
    assert (job.state, job.result) == ("succeeded", job.result)
    assert (
        imports.start_indexing(actor=None, import_=Import.objects.select_related("dataset__team").get())
        is None
    )


def test_making_rows_searchable_waits_for_what_people_wait_for(dataset, bring_in, monkeypatch):
    """The index is as much work as the checks: beside them it would make people wait twice as long for their report."""
    from datasets import jobs

    order: list[str] = []
    real_index, real_join = imports.index_rows, checks.join_parts
    monkeypatch.setattr(imports, "index_rows", lambda **given: order.append("index") or real_index(**given))
    monkeypatch.setattr(checks, "join_parts", lambda **given: order.append("report") or real_join(**given))
    monkeypatch.setattr(jobs, "YIELD_S", 0.01)
    bring_in(dataset, jsonl(tickets(30)))
    assert run_until_idle(60)
    assert order[0] == "report"
    assert "index" in order
    assert Job.objects.get(kind="datasets.index").state == "succeeded"


def test_every_filter_against_plain_truth(rows, editor, bring_in):
    second = bring_in(rows, jsonl([*tickets(160)[130:], tickets(3)[0]]))
    keys = list(Example.objects.order_by("id").values_list("id", flat=True))
    Example.objects.filter(pk__in=keys[3:30:4]).update(review="accepted")
    services.set_state(actor=editor, example=Example.objects.get(pk=keys[50]), active=False)
    version = services.start_freeze(
        actor=editor, dataset=rows, seed="s", override_reason="only a test of lists"
    )
    assert run_until_idle(60)
    version.refresh_from_db()
    rows.refresh_from_db()
    finding = Finding.objects.get(run=rows.checks, rule="exact_duplicate")
    assert finding.n_rows == 2
    in_split = {
        split: set(
            VersionRow.objects.filter(version=version, split=split).values_list("example_id", flat=True)
        )
        for split in ("train", "test")
    }
    choices = {
        "state": ("active", "rejected"),
        "label": ("", "card"),
        "review": ("", "accepted", "none"),
        "split": ("", "train", "test"),
        "source": (None, second.pk),
        "words": ("", "alpha", "my"),
        "finding": (None, finding),
    }
    found_any = 0
    for values in itertools.product(*choices.values()):
        narrow = dict(zip(choices, values, strict=True))
        chosen = narrow.pop("finding")
        conditions = {"state": STATES[narrow["state"]]}
        conditions |= {"label": narrow["label"]} if narrow["label"] else {}
        if narrow["review"]:
            conditions["review"] = "" if narrow["review"] == "none" else narrow["review"]
        conditions |= {"source_id": narrow["source"]} if narrow["source"] else {}
        expected = set(truth(rows, narrow["words"], **conditions))
        if narrow["split"]:
            expected &= in_split[narrow["split"]]
        if chosen:
            expected &= set(chosen.rows.values_list("example_id", flat=True))
        got = walk(rows, finding=chosen, **narrow)
        assert len(got) == len(set(got)), narrow
        assert set(got) == expected, narrow
        found_any += bool(expected)
    assert found_any > 100


def test_pages_neither_skip_nor_repeat_while_rows_come_in(rows, bring_in):
    before = truth(rows)
    fresh = iter([tickets(300)[200:230], tickets(400)[330:360], *[[{"text": "x y z", "label": "q"}]] * 9])
    seen = walk(rows, between=lambda: bring_in(rows, jsonl(next(fresh))))
    assert seen[: len(before)] == before
    assert len(seen) == len(set(seen))


@pytest.mark.parametrize("narrow", [{}, {"words": "ticket"}, {"label": "card"}, {"order": "newest"}])
def test_going_back_shows_the_page_one_came_from(rows, narrow):
    forwards = []
    page = listing.page_of(rows, Filters(**narrow))
    while page.next is not None:
        forwards.append([row.pk for row in page.rows])
        page = listing.page_of(rows, Filters(**narrow, after=page.next))
    for expected in reversed(forwards):
        assert page.prev is not None
        page = listing.page_of(rows, Filters(**narrow, before=page.prev))
        assert [row.pk for row in page.rows] == expected
    assert page.prev is None


def test_a_look_that_takes_too_long_stops_and_can_be_gone_on_with(rows, monkeypatch):
    monkeypatch.setattr(listing, "LOOK_S", -1.0)
    monkeypatch.setattr(listing, "LOOK_BY_STRETCH_S", -1.0)
    monkeypatch.setattr(listing, "TEXTS", 10)
    monkeypatch.setattr(listing, "WINDOW", 10)
    # The index proposes tickets, ten at a time, and nobody accepted one.
    page = listing.page_of(rows, Filters(words="ticket", review="accepted"))
    assert (page.rows, page.stopped) == ([], True)
    assert page.next is not None
    assert walk(rows, words="zürich alone") == truth(rows, "zürich alone")
    assert walk(rows, review="accepted", words="my") == []


def test_sealed_rows_cannot_be_learnt_by_searching(rows, client_for, viewer, editor):
    version = services.start_freeze(
        actor=editor, dataset=rows, seed="s", override_reason="only a test of lists"
    )
    assert run_until_idle(60)
    version.refresh_from_db()
    sealed = version.rows.filter(split="test").select_related("content").first()
    url = reverse("datasets:example-list", args=[rows.pk])
    words = sealed.content.prompt
    assert truth(rows, words) == [sealed.example_id]
    assert "<tr data-row" not in client_for(viewer).get(url, {"q": words}).content.decode()


def test_two_questions_to_the_index_serve_all_steps_of_a_page(rows, monkeypatch):
    monkeypatch.setattr(listing, "TEXTS", 10)
    # The contents of these rows may stand on both sides of a stretch's end, which would be a question more.
    monkeypatch.setattr(searching, "stretch", lambda: 1)
    asked = []
    real = searching.propose

    def counted(*given, **more):
        asked.append(more)
        return real(*given, **more)

    monkeypatch.setattr(searching, "propose", counted)
    # 120 tickets hold the word, nobody looked at any: three steps of ten texts find nothing and stop.
    page = listing.page_of(rows, Filters(words="ticket", review="accepted"))
    assert page.stopped and not page.rows and [more["most"] for more in asked] == [10, 20]
    assert walk(rows, words="ticket") == truth(rows, "ticket")


def test_a_search_ends_where_the_contents_of_its_dataset_end(
    rows, bring_in, editor, team, use_case, monkeypatch
):
    """The newest first began at the greatest content there is, and read those of another dataset on its way."""
    others = services.create_dataset(actor=editor, team=team, use_case=use_case, name="Others")
    bring_in(others, jsonl([{"text": f"ticket of others {i}", "label": "card"} for i in range(40)]))
    upto = Example.objects.filter(dataset=rows).aggregate(last=Max("content_id"))["last"]
    assert sources_of(rows).last_content == upto < Content.objects.latest("id").pk
    # an edit gives a text beyond those of the file
    row = Example.objects.filter(dataset=rows).order_by("id").first()
    services.edit_example(
        actor=editor, example=row, edition=row.edition, prompt="a zebra wrote", completion="card"
    )
    rows.refresh_from_db()
    row.refresh_from_db()
    assert sources_of(rows).last_content == row.content_id > upto
    assert walk(rows, words="zebra", order="newest") == [row.pk]
    assert walk(rows, words="ticket of others") == []
    # an import whose greatest was never kept: up to the greatest of all, as before
    Import.objects.filter(dataset=rows).update(last_content=None)
    assert sources_of(rows).last_content == Content.objects.latest("id").pk
    # one that is not whole in the index: likewise
    Import.objects.filter(dataset=rows).update(last_content=upto, indexed_at=None)
    assert sources_of(rows).last_content == Content.objects.latest("id").pk
    Import.objects.filter(dataset=rows).update(last_content=None, indexed_at=timezone.now())
    monkeypatch.setattr(listing, "MOST_SOURCES", 0)
    assert sources_of(rows).last_content == Content.objects.latest("id").pk
    Import.objects.filter(dataset=rows).update(last_content=upto)
    assert sources_of(rows).last_content == row.content_id


@pytest.mark.parametrize("order", ["oldest", "newest"])
def test_windows_of_a_search_follow_each_other_without_a_gap_and_widen_where_nothing_is_found(
    rows, monkeypatch, order
):
    """PostgreSQL gathers all matches of a stretch before the first: it begins with one stretch of contents."""
    far = (sources_of(rows).first_content // searching.STRETCH + 40) * searching.STRETCH
    Import.objects.filter(dataset=rows).update(last_content=far)
    asked = []
    real = searching.propose

    def counted(*given, **more):
        asked.append((more["above"], more["upto"]))
        return real(*given, **more)

    monkeypatch.setattr(searching, "propose", counted)
    for seconds in ("LOOK_S", "LOOK_BY_STRETCH_S", "QUESTION_S"):  # however slow the machine is
        monkeypatch.setattr(listing, seconds, 3600.0)
    page = listing.page_of(rows, Filters(words="nobody wrote this", order=order))
    assert page.rows == [] and not page.stopped
    first = sources_of(rows).first_content - 1
    ends = (
        [first, *(upto for _, upto in asked)] if order == "oldest" else [far, *(above for above, _ in asked)]
    )
    begins = [(above if order == "oldest" else upto) for above, upto in asked]
    assert begins == ends[:-1] and ends[-1] == (far if order == "oldest" else first)
    if connection.vendor == "postgresql":
        assert asked[0][1] - asked[0][0] <= searching.STRETCH
        assert all(end % searching.STRETCH == searching.STRETCH - 1 for end in ends[1:-1])
        assert len(asked) == 3
    else:
        assert len(asked) == 1


def test_the_index_proposes_in_order_over_the_ends_of_stretches(db):
    base = 1_000 * searching.STRETCH
    keys = [base + at for at in (0, 1, 8_190, 8_191, 8_192, 8_193, 16_383, 16_384, 40_000, 100_000)]
    row = "(%s, %s)" if connection.vendor == "postgresql" else "(%s, %s, '')"
    names = "content_id, words" if connection.vendor == "postgresql" else "rowid, prompt, completion"
    with connection.cursor() as cursor:
        sql = f"INSERT INTO {searching.TABLE} ({names}) VALUES {', '.join([row] * 2 * len(keys))}"
        # what stands between them lacks the word
        pairs = [(key, "a zebra") for key in keys] + [(key + 500, "a horse") for key in keys]
        cursor.execute(sql, [value for pair in pairs for value in pair])
    ends = [base - 1, *keys, base + 200_000]
    for above in ends:
        for upto in ends:
            inside = [key for key in keys if above < key <= upto]
            for newest_first in (False, True):
                for most in (1, 3, 100):
                    want = (inside[::-1] if newest_first else inside)[:most]
                    found = searching.propose(
                        "zebra", above=above, upto=upto, newest_first=newest_first, most=most
                    )
                    assert found == want, (above - base, upto - base, newest_first, most)


def test_an_index_made_in_one_piece_is_begun_again_and_filled_by_jobs(rows):
    migration = importlib.import_module("datasets.migrations.0026_search_in_stretches")
    is_anew = connection.vendor == "postgresql"
    # SQLite's editor cannot be had inside a transaction, and nothing is made with it.
    with (
        connection.schema_editor(atomic=False)
        if is_anew
        else nullcontext(Mock(connection=connection)) as editor
    ):
        migration.begin_again(apps, editor)
    assert listing.is_indexed(rows) == (not is_anew)
    assert walk(rows, words="ticket") == truth(rows, "ticket")
    assert imports.start_missing_indexing() == int(is_anew)
    assert run_until_idle(60)
    assert listing.is_indexed(rows)
    assert walk(rows, words="ticket") == truth(rows, "ticket")


def test_the_few_rows_of_a_state_are_searched_by_their_texts_and_not_by_the_index(rows, editor, monkeypatch):
    every = list(Example.objects.filter(dataset=rows).order_by("id"))
    out = [every[100], every[3], every[50]]
    for row in out:
        services.set_state(actor=editor, example=row, active=False)
    rows.refresh_from_db()
    monkeypatch.setattr(searching, "propose", lambda *_, **__: pytest.fail("the index was asked"))
    assert walk(rows, words="ticket", state="rejected") == [every[3].pk, every[50].pk, every[100].pk]
    newest = listing.page_of(rows, Filters(words="ticket", state="rejected", order="newest"))
    assert [row.pk for row in newest.rows] == [every[100].pk, every[50].pk, every[3].pk]
    behind = Filters(words="ticket", state="rejected", after=every[3].content_id)
    assert [row.pk for row in listing.page_of(rows, behind).rows] == [every[50].pk, every[100].pk]
    assert listing.page_of(rows, Filters(words="ticket", state="dropped")).rows == []


def test_a_list_asks_the_same_few_questions_whatever_it_shows(
    rows, client_for, editor, django_assert_max_num_queries
):
    client = client_for(editor)
    url = reverse("datasets:example-list", args=[rows.pk])
    client.get(url)
    for query in (
        {},
        {"label": "card"},
        {"q": "alpha"},
        {"review": "none"},
        {"order": "newest"},
        {"q": "zz top"},
    ):
        with django_assert_max_num_queries(15):
            assert client.get(url, query).status_code == 200


def test_imports_the_index_does_not_know_are_indexed_by_the_clock(dataset, bring_in, editor):
    import_ = bring_in(dataset, jsonl(tickets(12)))
    # as after a restore, or from before there was an index: done, with an old job that succeeded, and unknown to it
    Import.objects.update(indexed_at=None, indexed_upto=0)
    assert imports.start_missing_indexing() == 1
    assert imports.start_missing_indexing() == 0  # its job is open
    assert run_until_idle(30)
    import_.refresh_from_db()
    assert import_.indexed_at is not None
    assert imports.start_missing_indexing() == 0

    # a job that failed is tried again, though not at once
    Import.objects.update(indexed_at=None, indexed_upto=0)
    last = Job.objects.about(import_).filter(kind="datasets.index").first()
    Job.objects.filter(pk=last.pk).update(state="failed", finished_at=timezone.now())
    assert imports.start_missing_indexing() == 0
    Job.objects.filter(pk=last.pk).update(finished_at=timezone.now() - timedelta(hours=2))
    assert imports.start_missing_indexing() == 1
