"""Pages of long work, as an editor, a viewer and a stranger see them."""

from __future__ import annotations

import re

import pytest
from django.urls import reverse
from django.utils import timezone

from foundation.jobs import presence, services
from foundation.jobs.kinds import get_kind
from foundation.jobs.looks import look
from foundation.jobs.models import Job, WorkerSeen
from foundation.teams.testing import assert_route_guarded

pytestmark = pytest.mark.django_db


@pytest.fixture
def job(start):
    return start(n=12, title="Score <b>12</b> rows")


def test_every_address_is_guarded_by_role_and_team(client, job, team, outsider, viewer, editor, admin_user):
    urls = [reverse("jobs:job-list", args=[team.slug]), reverse("jobs:schedule-list", args=[team.slug])]
    urls += [reverse("jobs:schedule-new", args=[team.slug])]
    urls += [reverse(f"jobs:job-{name}", args=[job.pk]) for name in ("detail", "progress", "cancel", "retry")]
    for url in urls:
        assert_route_guarded(client, url, outsider=outsider, viewer=viewer, editor=editor, admin=admin_user)


def test_the_list_shows_the_teams_jobs_only_and_escapes_their_titles(client_for, editor, job, team, outsider):
    from foundation.teams.models import Team

    Job.objects.create(team=Team.objects.get(slug="elsewhere"), kind="test.squares", title="Hidden canary")
    page = client_for(editor).get(reverse("jobs:job-list", args=[team.slug])).content.decode()
    assert "Score &lt;b&gt;12&lt;/b&gt; rows" in page
    assert "Hidden canary" not in page


def test_the_list_narrows_by_state_and_pages_by_key(client_for, editor, start, finish, team):
    for number in range(53):
        start(n=1, title=f"Job number {number:02}")
    client = client_for(editor)
    url = reverse("jobs:job-list", args=[team.slug])
    first = client.get(url).content.decode()
    assert first.count("Job number") == 50
    older = re.search(r"after=(\d+)", first)
    assert older
    assert client.get(f"{url}?after={older.group(1)}").content.decode().count("Job number") == 3
    assert client.get(f"{url}?show=failed").content.decode().count("Job number") == 0
    assert client.get(f"{url}?show=open").content.decode().count("Job number") == 50
    assert client.get(f"{url}?show=nonsense&after=x").status_code == 200


@pytest.mark.parametrize("n", [3, 45])
def test_the_list_asks_a_fixed_number_of_questions(
    client_for, editor, start, team, django_assert_max_num_queries, n
):
    for _ in range(n):
        start(n=1)
    client = client_for(editor)
    client.get(reverse("jobs:job-list", args=[team.slug]))
    with django_assert_max_num_queries(10):
        client.get(reverse("jobs:job-list", args=[team.slug]))


def test_the_page_of_a_running_job_polls_and_of_a_finished_one_does_not(client_for, editor, job, finish):
    client = client_for(editor)
    url = reverse("jobs:job-detail", args=[job.pk])
    page = client.get(url).content.decode()
    assert "load delay:1s" in page
    assert page.count("btn primary") == 1
    finish(job)
    page = client.get(url).content.decode()
    assert "hx-trigger" not in page.split("<main")[1].split("</main")[0]
    assert page.count("btn primary") == 1


def test_the_polled_part_holds_no_button_and_speaks_every_fifth_time(client_for, editor, job):
    client = client_for(editor)
    url = reverse("jobs:job-progress", args=[job.pk])
    answers = [
        client.get(url, {"n": n}, headers={"HX-Request": "true"}).content.decode() for n in range(1, 11)
    ]
    assert all("<button" not in answer and "hx-get" in answer for answer in answers)
    assert ["hx-swap-oob" in answer for answer in answers] == [False] * 4 + [True] + [False] * 4 + [True]
    assert "?n=2" in answers[0]


def test_work_in_one_piece_says_so_and_draws_no_bar_that_would_stand_at_nothing(job):
    job.state, job.total, job.done = "running", 1, 0
    seen = look(job, now=timezone.now())
    assert (seen.counts, seen.shows_bar) == ("in one piece", False)
    job.state = "queued"
    assert look(job, now=timezone.now()).counts == ""
    job.state, job.part_total, job.part_done = "running", 10, 4  # it tells how far it is
    seen = look(job, now=timezone.now())
    assert (seen.counts, seen.shows_bar) == ("4 of 10", True)
    job.part_total, job.part_done, job.total = 0, 0, 2
    seen = look(job, now=timezone.now())
    assert (seen.counts, seen.shows_bar) == ("0 of 2", True)


def test_what_is_counted_has_its_word_while_it_runs(client_for, editor, job, finish, monkeypatch):
    """ "3 of 10" of what? A kind whose items are something to people says so."""
    url = reverse("jobs:job-progress", args=[job.pk])
    Job.objects.filter(pk=job.pk).update(state="running", total=12, done=3)
    client = client_for(editor)
    assert "3 of 12<" in client.get(url, headers={"HX-Request": "true"}).content.decode()
    monkeypatch.setattr(type(get_kind(job.kind)), "counted", "rows")
    assert "3 of 12 rows<" in client.get(url, headers={"HX-Request": "true"}).content.decode()
    Job.objects.filter(pk=job.pk).update(failed=1)
    assert "4 of 12, 1 failed<" in client.get(url, headers={"HX-Request": "true"}).content.decode()


def test_polling_ends_with_a_fresh_page(client_for, editor, job, finish):
    finish(job)
    answer = client_for(editor).get(
        reverse("jobs:job-progress", args=[job.pk]), {"n": 4}, headers={"HX-Request": "true"}
    )
    assert answer.headers["HX-Refresh"] == "true"
    assert "job-finished" in answer.headers["HX-Trigger"]


def test_a_job_that_failed_says_why_what_is_kept_and_offers_a_retry(client_for, editor, start, finish):
    job = finish(start(n=12, fail=[3, 5]))
    page = client_for(editor).get(reverse("jobs:job-detail", args=[job.pk])).content.decode()
    assert "3 is unlucky" in page
    assert "Retry the 2 that failed" in page
    assert "Traceback" not in page
    job = finish(start(n=60, fail=[59], kind="test.all_squares"))
    page = client_for(editor).get(reverse("jobs:job-detail", args=[job.pk])).content.decode()
    assert "59 is unlucky" in page
    assert "nothing of it is kept" in page
    assert "Retry" not in page
    job = finish(start(n=12, finish_error="There is no space left."))
    page = client_for(editor).get(reverse("jobs:job-detail", args=[job.pk])).content.decode()
    assert "12 of 12 done are kept." in page
    assert "Retry what failed" in page


def test_cancel_pause_and_resume_lead_back_to_where_the_button_stood(client_for, editor, job):
    client = client_for(editor)
    back = reverse("jobs:job-list", args=[job.team.slug])
    answer = client.post(reverse("jobs:job-pause", args=[job.pk]), {"next": back})
    assert answer.headers["Location"] == back
    job.refresh_from_db()
    assert job.state == "paused"
    answer = client.post(reverse("jobs:job-resume", args=[job.pk]), {"next": "https://elsewhere.example/"})
    assert answer.headers["Location"] == services.page_of(job)
    answer = client.post(reverse("jobs:job-cancel", args=[job.pk]))
    job.refresh_from_db()
    assert job.state == "cancelled"
    # A second press finds it cancelled and says so.
    assert client.post(reverse("jobs:job-cancel", args=[job.pk])).status_code == 302


def test_a_viewer_sees_no_button_that_would_be_refused(client_for, viewer, job):
    page = client_for(viewer).get(reverse("jobs:job-detail", args=[job.pk])).content.decode()
    assert "Cancel it" not in page
    assert client_for(viewer).post(reverse("jobs:job-cancel", args=[job.pk])).status_code == 403


def test_the_banner_says_when_nobody_works(monkeypatch):
    monkeypatch.setattr(presence, "_process_began", -1000.0)
    presence.forget_cached()
    assert presence.absence().worker and presence.absence().beat
    presence.seen("w@host", WorkerSeen.Role.WORKER, "default")
    presence.forget_cached()
    assert "clock" in presence.absence().sentence
    presence.seen("beat@host", WorkerSeen.Role.BEAT)
    presence.forget_cached()
    assert presence.absence() is None
    WorkerSeen.objects.update(seen_at=timezone.now() - presence.MISSING_AFTER * 2)
    # Kept for five seconds, so that pages stay cheap.
    assert presence.absence() is None
    presence.forget_cached()
    assert presence.absence().worker


def test_the_banner_is_one_question_at_most(monkeypatch, django_assert_num_queries):
    monkeypatch.setattr(presence, "_process_began", -1000.0)
    presence.forget_cached()
    with django_assert_num_queries(1):
        for _ in range(5):
            presence.absence()


def test_what_came_out_stands_before_how_it_went(client_for, editor, job, finish):
    done = finish(job)
    Job.objects.filter(pk=done.pk).update(
        result={
            "n_rows": 12345,
            "is_clean": True,
            "share": 0.251,
            "<b>": "<i>",
            "parts": {"a": 1},
            "error": "",
        }
    )
    page = client_for(editor).get(reverse("jobs:job-detail", args=[job.pk])).content.decode()
    card = page[page.index("What came out") : page.index("How far it is")]
    # In any order: PostgreSQL keeps none in a JSON column.
    assert sorted(re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", card)) == [
        ("&lt;b&gt;", "&lt;i&gt;"),
        ("Is clean", "yes"),
        ("N rows", "12,345"),
        ("Share", "0.25"),
    ]
    assert "All that came out" in page


def test_the_dialog_says_what_cancelling_does_to_this_kind_of_work(client_for, editor, start):
    said = {
        "test.squares": "What is done is kept. It stops within 10 seconds",
        "test.all_squares": "Nothing of it is kept. It stops within 10 seconds",
    }
    for kind, words in said.items():
        job = start(n=3, kind=kind)
        page = client_for(editor).get(reverse("jobs:job-detail", args=[job.pk])).content.decode()
        assert words in page
    unknown = start(n=3)
    Job.objects.filter(pk=unknown.pk).update(kind="gone.kind")
    assert client_for(editor).get(reverse("jobs:job-detail", args=[unknown.pk])).status_code == 200
