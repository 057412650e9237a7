"""The queue by need, two readings apart, who settles them; what the pages show to whom; two people at one row."""

from __future__ import annotations

import pytest
from django.db import connection
from django.urls import reverse
from django.utils import timezone

from datasets import services
from datasets.domain.review import Need, queue
from datasets.errors import EditedMeanwhile, NothingToDo
from datasets.models import Dataset, Example, Judgement, QualityRun, Reading, ReviewItem, VersionRow
from datasets.services import reviewing
from datasets.tests.conftest import jsonl, tickets
from foundation.jobs.models import Job
from foundation.jobs.services import run_until_idle
from foundation.teams.domain.roles import Role
from foundation.teams.errors import BadInput, Conflict
from foundation.teams.models import Membership, User

pytestmark = pytest.mark.django_db


@pytest.fixture
def second(team):
    user = User.objects.create_user("ben@example.org", "correct horse battery", name="Ben")
    Membership.objects.create(team=team, user=user, role=Role.EDITOR)
    return user


@pytest.fixture
def third(team):
    user = User.objects.create_user("cleo@example.org", "correct horse battery", name="Cleo")
    Membership.objects.create(team=team, user=user, role=Role.EDITOR)
    return user


@pytest.fixture
def filled(dataset, bring_in):
    bring_in(dataset, jsonl(tickets(60)))
    return dataset


def test_needy_rows_come_first_and_the_sample_stays_whole():
    places = queue(
        [5, 1, 9, 7], [(3, "conflict"), (1, "low"), (4, "finding")], most_needed=2, double_share=0.5
    )
    assert [(p.index, p.need, p.in_sample) for p in places] == [
        (3, "conflict", False),
        (1, "low", True),  # needed and of the sample: it moves to the front and counts for both
        (5, "", True),
        (9, "", True),
        (7, "", True),
    ]
    # half of the four rows of the sample, every second one by the sample's own order: 5 and 9
    assert {p.index for p in places if p.is_double} == {5, 9}


def test_readers_take_turns_and_the_second_reader_is_another_one():
    places = queue([0, 1, 2, 3], [], most_needed=0, double_share=1, readers=[10, 20, 30])
    assert [(p.assignee, p.second) for p in places] == [(10, 20), (20, 30), (30, 10), (10, 20)]
    with pytest.raises(ValueError, match="two people"):
        queue([0], [], most_needed=0, double_share=1, readers=[10])
    with pytest.raises(ValueError, match="between 0 and 1"):
        queue([0], [], most_needed=0, double_share=2)


def test_contradictions_and_weak_scores_are_looked_at_before_the_sample(dataset, bring_in, editor):
    rows = tickets(60)
    rows += [
        {"text": "the very same question", "label": "card"},
        {"text": "the very same question", "label": "login"},
    ]
    bring_in(dataset, jsonl(rows))
    weak = dataset.examples.all()[10]
    job = Job.objects.create(team=dataset.team, kind="datasets.quality", title="Judged")
    run = QualityRun.objects.create(
        team=dataset.team,
        dataset=dataset,
        model="m",
        prompt_version="1",
        seed="s",
        finished_at=timezone.now(),
    )
    for position, (example, overall) in enumerate([(weak, 0.2), (dataset.examples.all()[11], 0.9)]):
        Judgement.objects.create(
            job=job, run=run, example=example, content=example.content, overall=overall, position=position
        )
    review = services.plan_review(actor=editor, dataset=dataset, most_needed=100)
    items = list(review.items.order_by("position").select_related("example__content"))
    assert [item.need for item in items[:2]] == [Need.DISAGREEMENT] * 2
    assert {item.example.content.prompt for item in items[:2]} == {"the very same question"}
    assert (items[2].need, items[2].example_id) == (Need.LOW_SCORE, weak.pk)
    assert review.n_sample == 7  # a tenth of 62 rows, rounded up, beside the needy ones
    assert review.items.filter(in_sample=True).count() == 7
    assert review.n_total == len(items) >= 8


def test_sealed_test_rows_are_in_no_queue(filled, editor):
    version = services.start_freeze(actor=editor, dataset=filled, override_reason="a test of the queue")
    assert run_until_idle(60)
    version.refresh_from_db()
    review = services.plan_review(actor=editor, dataset=filled, share=1.0)
    tested = set(
        VersionRow.objects.filter(version=version, split="test").values_list("example_id", flat=True)
    )
    assert tested
    assert not tested & set(review.items.values_list("example_id", flat=True))
    assert review.n_total == 60 - len(tested)


def double(editor, dataset, readers=()):
    return services.plan_review(actor=editor, dataset=dataset, share=0.05, double_share=1.0, readers=readers)


def test_two_equal_readings_are_the_verdict_and_different_ones_wait(filled, editor, second, third, approver):
    review = double(editor, filled)
    same, apart, mine = review.items.order_by("position")
    services.review_example(actor=editor, item=same, verdict="accepted")
    same.refresh_from_db()
    assert same.verdict == ""  # one reading decides nothing
    with pytest.raises(NothingToDo, match="read this row already"):
        services.review_example(actor=editor, item=same, verdict="rejected")
    services.review_example(actor=second, item=same, verdict="accepted")
    same.refresh_from_db()
    assert (same.verdict, same.reviewer_name) == ("accepted", "Editor and Ben")

    services.review_example(actor=editor, item=apart, verdict="edited", completion="other")
    services.review_example(actor=second, item=apart, verdict="rejected", reason="not a ticket")
    apart.refresh_from_db()
    assert apart.verdict == ""
    with pytest.raises(NothingToDo, match="Two people"):
        services.review_example(actor=third, item=apart, verdict="accepted")
    with pytest.raises(Conflict, match="third person"):
        services.settle(actor=second, role=Role.EDITOR, item=apart, verdict="rejected")
    with pytest.raises(Conflict, match="nothing to settle"):
        services.settle(actor=third, role=Role.EDITOR, item=mine, verdict="rejected")
    settled = services.settle(actor=third, role=Role.EDITOR, item=apart, reading=apart.readings.first())
    assert (settled.verdict, settled.is_adjudicated) == ("edited", True)
    apart.example.refresh_from_db()
    assert apart.example.content.completion == "other"

    # an approver may settle even a row they have read
    services.review_example(actor=approver, item=mine, verdict="accepted")
    services.review_example(actor=second, item=mine, verdict="rejected")
    services.settle(actor=approver, role=Role.APPROVER, item=mine, verdict="rejected", reason="Ben is right")
    review.refresh_from_db()
    assert review.is_finished
    assert (review.n_accepted, review.n_edited, review.n_rejected) == (1, 1, 1)
    assert (
        Reading.objects.filter(item__review=review).count() == 6
    )  # all stay, agreement is computed from them


def test_a_reading_can_be_taken_back_until_it_is_settled(filled, editor, second):
    review = double(editor, filled)
    item = review.items.first()
    services.review_example(actor=editor, item=item, verdict="rejected")
    with pytest.raises(NothingToDo):
        services.undo_review(actor=second, item=item)  # nobody takes back another one's reading
    services.undo_review(actor=editor, item=item)
    assert not item.readings.exists()
    services.review_example(actor=editor, item=item, verdict="rejected")
    services.review_example(actor=second, item=item, verdict="rejected")
    item.refresh_from_db()
    filled.refresh_from_db()
    assert (item.verdict, filled.n_rejected) == ("rejected", 1)
    services.undo_review(actor=editor, item=item)
    filled.refresh_from_db()
    assert (filled.n_rejected, [r.reader for r in item.readings.all()]) == (0, [second])


def test_who_reads_is_asked_for_before_anything_is_written(filled, editor, viewer):
    with pytest.raises(BadInput, match="editors of the team"):
        services.plan_review(actor=editor, dataset=filled, readers=[viewer])
    with pytest.raises(BadInput, match="two editors"):
        services.plan_review(actor=editor, dataset=filled, double_share=0.5)
    with pytest.raises(BadInput, match="above 0"):
        services.plan_review(actor=editor, dataset=filled, share=0.0)
    assert not ReviewItem.objects.exists()


# --- pages -------------------------------------------------------------------------------------------------------


def test_readers_see_their_own_rows_and_never_the_other_reading_first(filled, editor, second, third, client):
    review = double(editor, filled, readers=[editor, second])
    item = review.items.order_by("position").first()
    url = reverse("datasets:review-detail", args=[review.pk])
    judge = reverse("datasets:review-judge", args=[review.pk, item.pk])
    client.force_login(editor)
    client.post(judge, {"verdict": "rejected", "edition": "1", "reason": "a secret opinion"})
    page = client.get(f"{url}?at={item.position}").content.decode()
    assert "read by you" in page
    assert "1 has one reading and waits for the other" in page
    client.force_login(second)
    page = client.get(f"{url}?at={item.position}").content.decode()
    assert "a secret opinion" not in page
    assert "Accept" in page
    client.post(judge, {"verdict": "accepted", "edition": "1"})
    page = client.get(f"{url}?at={item.position}").content.decode()
    assert "disagree" in page  # both are written now, and this reader cannot settle them
    assert "Take this reading" not in page
    assert "1 to settle." in page and "one reading" not in page
    client.force_login(third)
    assert "Settle 1 row" in client.get(url).content.decode()  # nothing is assigned to Cleo
    page = client.get(f"{url}?whose=open").content.decode()
    assert page.count("Take this reading") == 2
    reading = item.readings.get(reader=second)
    assert client.post(judge, {"take": reading.pk, "whose": "open"}).status_code == 302
    item.refresh_from_db()
    assert (item.verdict, item.is_adjudicated) == ("accepted", True)
    shown = client.get(reverse("datasets:review-summary", args=[review.pk])).content.decode()
    assert "0 of 1" in shown
    assert "1 disagreement settled" in shown


def test_the_summary_shows_agreement_with_its_interval_and_trouble_with_its_own(
    filled, editor, second, client, django_assert_max_num_queries
):
    review = services.plan_review(actor=editor, dataset=filled, share=0.5, double_share=1.0)
    for i, item in enumerate(review.items.order_by("position")):
        for reader in (editor, second):
            # they differ on every fifth row
            rejects = i % 3 == 0 or (i % 5 == 0 and reader == second)
            services.review_example(actor=reader, item=item, verdict="rejected" if rejects else "accepted")
    client.force_login(editor)
    url = reverse("datasets:review-summary", args=[review.pk])
    client.get(url)
    with django_assert_max_num_queries(15):
        page = client.get(url)
    # of 30 rows i % 5 == 0 holds for 6, two of which (0, 15) both reject: 4 differ
    assert (page.context["n_same"], page.context["n_pairs"]) == (26, 30)
    assert page.context["alpha"].n == page.context["kappa"].n == 30
    assert 0.6 < page.context["kappa"].value < 0.95
    # of 60 verdicts 10 + 14 reject, and 4 rows differ: alpha = 1 - 59 * (4 * 2) / (60^2 - 24^2 - 36^2) = 1 - 472 / 1728
    assert page.context["verdicts"].value == pytest.approx(1 - 472 / 1728)
    row = page.context["rows"][0]
    assert (row["n_done"], row["n_trouble"]) == (26, 10)
    assert row["low"] < row["share"] < row["high"]


def test_a_review_page_asks_few_questions_and_the_form_makes_the_queue(
    filled, editor, second, viewer, outsider, client, django_assert_max_num_queries
):
    form_url = reverse("datasets:review-create", args=[filled.pk])
    for person, status in ((viewer, 403), (outsider, 404), (editor, 200)):
        client.force_login(person)
        assert client.get(form_url).status_code == status
    bad = client.post(form_url, {"share": "0.1", "most_needed": "-1", "double_share": "0"})
    assert bad.status_code == 422
    answer = client.post(
        form_url,
        {"share": "0.2", "most_needed": "5", "double_share": "0.25", "readers": [editor.pk, second.pk]},
    )
    assert answer.status_code == 302
    review = filled.reviews.get()
    assert (review.n_sample, review.n_double) == (12, 3)
    assert set(review.items.values_list("assignee_id", flat=True)) == {editor.pk, second.pk}
    for name in ("review-detail", "review-summary"):
        url = reverse(f"datasets:{name}", args=[review.pk])
        client.force_login(editor)
        client.get(url)
        with django_assert_max_num_queries(15):
            assert client.get(url).status_code == 200
        client.force_login(viewer)
        assert client.get(url).status_code == 200
        client.force_login(outsider)
        assert client.get(url).status_code == 404


@pytest.mark.parametrize(("verdict", "most"), [("accepted", 20), ("rejected", 24), ("edited", 31)])
def test_a_press_asks_once_for_what_it_and_the_next_row_need(
    filled, editor, client, django_assert_max_num_queries, verdict, most
):
    review = services.plan_review(actor=editor, dataset=filled)
    client.force_login(editor)
    first, second = review.items.order_by("position")[:2]
    htmx = {"HX-Request": "true"}

    def press(item):
        url = reverse("datasets:review-judge", args=[review.pk, item.pk])
        texts = {"prompt": f"asked anew {item.pk}", "completion": "card"} if verdict == "edited" else {}
        return client.post(url, {"verdict": verdict, "edition": "1", **texts}, headers=htmx)

    press(first)
    if verdict == "edited" and connection.vendor == "postgresql":
        most += 2  # the key of the new text is drawn before it is written, and its COPY is counted
    with django_assert_max_num_queries(most):
        answer = press(second)
    assert answer.status_code == 200
    # The row judged just now is the one that a key takes back, without being looked for.
    assert f"Undo row {second.position} ({verdict})" in answer.text
    second.refresh_from_db()
    assert second.verdict == verdict and second.example.review == verdict
    undo = reverse("datasets:review-undo", args=[review.pk, second.pk])
    with django_assert_max_num_queries(most):
        assert client.post(undo, headers=htmx).status_code == 200


def test_two_people_at_one_row_see_the_conflict_and_lose_nothing(filled, editor, second, client):
    """U31, T55: the later one sees the other text as a diff, keeps their own, and the next press is on purpose."""
    review = services.plan_review(actor=editor, dataset=filled)
    item = review.items.select_related("example__content").first()
    judge = reverse("datasets:review-judge", args=[review.pk, item.pk])
    services.edit_example(
        actor=second, example=item.example, edition=1, prompt="Ben wrote this meanwhile", completion="card"
    )
    client.force_login(editor)
    mine = {"verdict": "edited", "edition": "1", "prompt": "Editor wrote that", "completion": "login"}
    refused = client.post(judge, mine)
    page = refused.content.decode()
    assert refused.status_code == 409
    item.refresh_from_db()
    assert item.verdict == ""
    assert "Ben" in page and "Their text against yours" in page
    assert "Editor wrote that" in page  # what was written is still in the form
    assert 'name="edition" value="2"' in page
    assert client.post(judge, {**mine, "edition": "2"}).status_code == 302
    item.example.refresh_from_db()
    assert item.example.content.prompt == "Editor wrote that"
    texts = {content.prompt for content in services.contents_of(item.example)}
    assert "Ben wrote this meanwhile" in texts  # the replaced text stays in the history


def test_a_reject_that_meets_a_fix_takes_the_row_from_the_counts_once(filled, editor, monkeypatch):
    from types import SimpleNamespace

    from django.utils import timezone

    from datasets.services import reviewing
    from datasets.services.checks import move_counts

    item = services.plan_review(actor=editor, dataset=filled).items.select_related("example").first()
    before = Dataset.objects.get(pk=filled.pk)

    def now():
        # A fix drops the row after the reviewer's row was read and before it is written.
        Example.objects.filter(pk=item.example_id).update(state="dropped")
        move_counts(filled, [item.example_id], -1, "n_dropped")
        return timezone.now()

    monkeypatch.setattr(reviewing, "timezone", SimpleNamespace(now=now))
    services.review_example(actor=editor, item=item, verdict="rejected")
    state = Dataset.objects.get(pk=filled.pk)
    assert (state.n_active, state.n_dropped, state.n_rejected) == (
        before.n_active - 1,
        before.n_dropped + 1,
        before.n_rejected,
    )
    assert sum(state.label_counts.values()) == state.n_active == Example.objects.active().count()


def test_rows_read_twice_are_counted_without_grouping_by_their_texts(filled, editor, second, third):
    from types import SimpleNamespace

    from datasets.views.reviews import _waiting

    review = double(editor, filled)
    sql = str(_waiting(review, SimpleNamespace(user=editor), "all").query)
    groups = [part.split(")")[0] for part in sql.split("GROUP BY")[1:]]
    assert groups
    assert not any("datasets_content" in part for part in groups)


def test_a_reading_of_a_text_that_was_changed_since_agrees_with_nobody(filled, editor, second, third):
    item = double(editor, filled).items.order_by("position").first()
    services.review_example(actor=editor, item=item, verdict="accepted")
    services.edit_example(
        actor=third, example=item.example, edition=1, prompt="The card is gone, what now?", completion="card"
    )
    services.review_example(actor=second, item=item, verdict="accepted")
    item.refresh_from_db()
    assert item.verdict == ""  # two people accepted two different texts
    assert [reading.reader for reading in item.readings.all()] == [second]
    services.review_example(
        actor=editor, item=item, verdict="accepted"
    )  # the first reads what stands there now
    item.refresh_from_db()
    assert (item.verdict, item.reviewer_name) == ("accepted", "Ben and Editor")


def test_a_reading_of_an_older_text_cannot_be_taken_as_the_verdict(filled, editor, second, third):
    item = double(editor, filled).items.order_by("position").first()
    services.review_example(actor=editor, item=item, verdict="accepted")
    services.review_example(actor=second, item=item, verdict="rejected")
    services.edit_example(
        actor=third, example=item.example, edition=1, prompt="The card is gone, what now?", completion="card"
    )
    with pytest.raises(EditedMeanwhile):
        services.settle(actor=third, role=Role.EDITOR, item=item, reading=item.readings.first())
    item.refresh_from_db()
    assert item.verdict == ""


def test_an_edit_between_reading_and_verdict_is_not_accepted_unseen(filled, editor, monkeypatch):
    from types import SimpleNamespace

    from django.utils import timezone

    from datasets.services import reviewing

    item = services.plan_review(actor=editor, dataset=filled).items.select_related("example").first()

    def now():
        Example.objects.filter(pk=item.example_id).update(edition=2)
        return timezone.now()

    monkeypatch.setattr(reviewing, "timezone", SimpleNamespace(now=now))
    with pytest.raises(EditedMeanwhile):
        services.review_example(actor=editor, item=item, verdict="accepted", edition=1)
    item.refresh_from_db()
    assert item.verdict == ""


@pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL keeps statistics and chooses by them")
def test_what_two_people_read_is_found_from_their_readings(filled, editor):
    """By the queue SQLite walked all of its rows, 90,000 of a million's tenth, for the few that anybody has read."""
    review = services.plan_review(actor=editor, dataset=filled)
    for asked in (reviewing.to_settle(review), reviewing.readings_of(review).select_related("item__example")):
        of_items = [
            line for line in asked.explain().splitlines() if "datasets_reviewitem" in line or " U1 " in line
        ]
        assert of_items and all("USING INTEGER PRIMARY KEY" in line for line in of_items), of_items
