"""Pages, files and programs around a cross-validation: what they say, what they cost, who may see them."""

from __future__ import annotations

import csv
import io
import json

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from datasets.models import CrossValidation, TrainingRun
from datasets.tests.folded import folded_version, judged
from datasets.training.crossvalidating import end_without_result, start_cross_validation, train_final
from datasets.training.jobs import KINDS
from datasets.training.lifecycle import states
from decisions.models import UseCase
from foundation.files import store
from foundation.jobs.kinds import register_kinds
from foundation.jobs.models import Job
from foundation.teams.domain.roles import Role
from foundation.teams.domain.scopes import Scope
from foundation.teams.models import AuditEvent
from foundation.teams.services import issue_token

MOST_QUERIES = 15


@pytest.fixture(autouse=True)
def _training(settings, tmp_path):
    settings.VAR_DIR = tmp_path / "var"
    register_kinds(KINDS)


@pytest.fixture
def version(use_case):
    return folded_version(use_case)


def page_of(found, name="detail", *more):
    return reverse(f"training:cross-validation-{name}", args=[found.pk, *more])


def shown(response) -> str:
    return " ".join(response.content.decode().split())


def test_the_page_begins_with_its_finding(editor, version, client_for):
    found = judged(editor, version)
    response = client_for(editor).get(page_of(found))
    text = shown(response)
    # 48 of 60, by two models: Wilson for 32 of 40, .7737 -+ .1213
    assert "<b>80.0% right (65.2% to 89.5%) over 2 folds, 60 rows.</b>" in text
    assert "Nadeau and Bengio" in text
    assert "Show as a table" in text
    assert "12 rows" in text
    assert "Rows wrong out of fold" in text
    assert text.count("<article") == 12
    one = shown(client_for(editor).get(page_of(found) + "?label=billing"))
    assert "expected “<bdi>billing</bdi>”" in one
    assert 0 < one.count("<article") < 12


def test_a_label_that_stands_only_in_the_answer_finds_its_wrong_rows(editor, version, client_for):
    """Rows without a label of their own are counted by their written answer; the filter once looked at labels alone."""
    version.rows.update(label="")
    first = version.rows.get(split="train", position=0)
    first.content.completion = "billing\n"
    first.content.save()
    found = judged(editor, version)
    # wrong are places 0, 5, 10, ... 55: the six even ones are of billing
    assert shown(client_for(editor).get(page_of(found) + "?label=billing")).count("<article") == 6
    assert shown(client_for(editor).get(page_of(found) + "?label=bill.*")).count("<article") == 0


def test_wrong_rows_come_twenty_a_page(editor, use_case, client_for):
    found = judged(editor, folded_version(use_case, train=70), wrong=lambda i: i < 25)
    client = client_for(editor)
    first = client.get(page_of(found))
    assert shown(first).count("<article") == 20
    rest = client.get(
        f"{page_of(found)}?after={first.context['next']}&part=rows", headers={"HX-Request": "true"}
    )
    assert shown(rest).count("<article") == 5
    assert rest.context["next"] is None
    assert shown(client.get(page_of(found) + "?after=nonsense")).count("<article") == 20


def test_queries_do_not_grow_with_rows_or_labels(editor, use_case, client_for):
    counts = []
    for n in (40, 400):
        found = judged(editor, folded_version(use_case, train=n))
        judged(editor, found.version, seed=1)
        client = client_for(editor)
        for path in (page_of(found), reverse("training:run-new", args=[found.version_id])):
            client.get(path)
            with CaptureQueriesContext(connection) as queries:
                assert client.get(path).status_code == 200
            counts.append(len(queries))
    assert max(counts) <= MOST_QUERIES
    assert counts[:2] == counts[2:]


def test_a_viewer_reads_and_starts_nothing_and_a_stranger_finds_nothing(
    editor, viewer, outsider, version, client_for
):
    found = judged(editor, version)
    paths = [page_of(found), page_of(found, "export", "csv")]
    client = client_for(viewer)
    for path in paths:
        assert client.get(path).status_code == 200
    assert "Train the final model</button>" not in shown(client.get(page_of(found)))
    assert client.post(page_of(found, "final")).status_code == 403
    assert client.post(reverse("training:run-new", args=[version.pk]), {"over": "folds"}).status_code == 403
    client = client_for(outsider)
    for path in (*paths, page_of(found, "retry"), page_of(found, "final")):
        assert client.get(path).status_code == 404
        assert client.post(path).status_code == 404
    assert not TrainingRun.objects.exists()


def test_the_form_starts_it_and_says_what_is_wrong_without_losing_anything(editor, version, client_for):
    client = client_for(editor)
    new = reverse("training:run-new", args=[version.pk])
    text = shown(client.get(new))
    assert "Only 12 validation rows: cross-validation over 2 folds uses all 60." in text
    assert "Cross-validate over 2 folds" in text
    told = {"backend": "local-classifier", "c_values": "many", "class_weighting": "none", "over": "folds"}
    refused = client.post(new, told)
    assert refused.status_code == 422
    assert 'value="many"' in shown(refused)
    started = client.post(new, {**told, "c_values": "3", "over": "folds-final"})
    found = CrossValidation.objects.get()
    assert started.url == page_of(found)
    assert found.trains_final
    assert found.settings["c_values"] == [3.0]
    assert "Under way" in shown(client.get(page_of(found)))
    assert AuditEvent.objects.filter(verb="crossvalidation.started").count() == 1


def test_what_happens_is_said_of_the_backend_that_is_chosen(editor, version, client_for):
    """The nearest example fits nothing and has nothing to choose; its page told of macro F1 all the same."""
    new = reverse("training:run-new", args=[version.pk])
    classifier = shown(client_for(editor).get(new))
    assert "12 validation rows choose the settings" in classifier and "by macro F1" in classifier
    nearest = shown(client_for(editor).get(new, {"backend": "local-nearest"}))
    assert "12 validation rows judge." in nearest and "they choose nothing" in nearest
    assert "macro F1" not in nearest


def test_a_version_without_folds_says_the_way_to_them(editor, viewer, use_case, client_for):
    version = folded_version(use_case, n_folds=0)
    link = reverse("datasets:version-create", args=[version.dataset_id]) + "?folds=5"
    for path in (
        reverse("datasets:version-detail", args=[version.pk]),
        reverse("training:run-new", args=[version.pk]),
    ):
        text = shown(client_for(editor).get(path))
        assert "Only 12 validation rows: cross-validation over 5 folds uses all 60." in text
        assert link in text
        assert "Cross-validate over" not in text
        assert link not in shown(client_for(viewer).get(path))
    version.dataset.n_active = 5_000
    version.dataset.save()
    form = client_for(editor).get(link)
    assert form.context["form"]["n_folds"].initial == 5
    assert 'name="n_folds"' in shown(form)
    refused = client_for(editor).post(reverse("training:run-new", args=[version.pk]), {"over": "folds"})
    assert refused.status_code == 422
    assert "carries no folds" in shown(refused)


def test_the_train_stage_tells_of_folds_while_there_is_no_model(editor, use_case, version):
    def state():
        with CaptureQueriesContext(connection) as queries:
            found = states([UseCase.objects.get(pk=use_case.pk)])[use_case.pk]
        assert len(queries) <= 4  # one of them is the use case
        return found

    assert state().headline == "Nothing trained yet"
    found = judged(editor, version)
    told = state()
    assert (told.headline, told.url) == ("80.0% of 60 rows right over folds; no model yet", page_of(found))
    CrossValidation.objects.update(state="running")
    assert state().headline == f"Cross-validation {found.number} is under way"
    CrossValidation.objects.update(state="succeeded")
    train_final(actor=editor, cross_validation=CrossValidation.objects.get())
    assert state().headline == "Run 1 is training"


def test_no_way_is_offered_where_there_is_none(editor, use_case, client_for):
    """An archived dataset cannot be frozen again, and the recipe of a mix knows no folds."""
    version = folded_version(use_case, n_folds=0)
    path = reverse("datasets:version-detail", args=[version.pk])
    version.dataset.archived_at = version.frozen_at
    version.dataset.save()
    text = shown(client_for(editor).get(path))
    assert "Only 12 validation rows" in text
    assert "?folds=5" not in text
    assert "its dataset is archived" in text
    assert "an editor can freeze" not in text
    version.recipe["mix"] = {"tasks": []}
    version.save()
    assert "Only 12 validation rows" not in shown(client_for(editor).get(path))


def test_the_final_model_is_trained_when_asked_and_offered_once(editor, version, client_for):
    found = judged(editor, version)
    client = client_for(editor)
    response = client.post(page_of(found, "final"))
    run = TrainingRun.objects.get()
    assert response.url == reverse("training:run-detail", args=[run.pk])
    assert client.post(page_of(found, "final")).url == response.url
    assert "Train the final model</button>" not in shown(client.get(page_of(found)))
    assert "will be taught by all 60 rows" in shown(client.get(page_of(found)))


def test_the_final_model_leads_to_its_test_and_is_chosen_there(editor, viewer, version, client_for):
    """Its page once led back to the folds alone, and the form of a claim began without it, on rows it had learnt."""
    found = judged(editor, version)
    run = train_final(actor=editor, cross_validation=found)
    blob = store.put(team=run.team, stream=io.BytesIO(b"model"), name="m", kind="model")
    TrainingRun.objects.filter(pk=run.pk).update(state="succeeded", artefact=blob)
    link = f"{reverse('evaluations:evaluation-new', args=[version.pk])}?split=test&run={run.pk}"
    for page in (page_of(found), reverse("training:run-detail", args=[run.pk])):
        assert link.replace("&", "&amp;") in shown(client_for(editor).get(page))
        assert "?split=test" not in shown(client_for(viewer).get(page))
    form = client_for(editor).get(link).context["form"]
    assert form["split"].value() == "test"
    assert form["candidates"].value() == [f"run:{run.pk}"]
    for _ in range(11):
        TrainingRun.objects.create(
            team=run.team, use_case=run.use_case, version=version, backend=run.backend, state="succeeded",
            artefact=blob,
            number=TrainingRun.objects.order_by("-number").first().number + 1,
        )  # fmt: skip
    form = client_for(editor).get(link).context["form"]
    assert f"run:{run.pk}" in dict(form.fields["candidates"].choices)


def test_a_use_case_with_folds_alone_still_has_the_way_to_train(editor, version, client_for):
    judged(editor, version)
    text = shown(client_for(editor).get(reverse("training:run-list", args=[version.dataset.use_case_id])))
    assert reverse("training:run-new", args=[version.pk]) in text


def test_a_cancelled_final_model_makes_room_for_another(editor, version, client_for):
    """The relation is one to one, so a cancelled run once barred the way for good, while the page praised it."""
    found = judged(editor, version)
    client = client_for(editor)
    client.post(page_of(found, "final"))
    first = TrainingRun.objects.get()
    for state, words in {
        "running": "is being taught by all 60 rows. Expect",
        "failed": "failed and left no model",
        "cancelled": "was cancelled and left no model",
    }.items():
        TrainingRun.objects.update(state=state)
        text = shown(client.get(page_of(found)))
        assert words in text
        assert "is taught by all 60 rows" not in text
        assert ("Train the final model</button>" in text) == (state == "cancelled")
    client.post(page_of(found, "final"))
    second = TrainingRun.objects.exclude(pk=first.pk).get()
    first.refresh_from_db()
    assert (first.cross_validation_id, second.cross_validation_id) == (None, found.pk)
    assert AuditEvent.objects.get(verb="training.replaced").target_id == str(first.pk)
    assert "will be taught by" in shown(client.get(page_of(found)))


def test_a_cancelled_one_says_so_and_leads_on(editor, viewer, version, client_for):
    found = start_cross_validation(actor=editor, version=version)
    CrossValidation.objects.update(state="cancelled")
    text = shown(client_for(editor).get(page_of(found)))
    again = f"{reverse('training:run-new', args=[version.pk])}?backend=local-classifier"
    assert "It was cancelled." in text
    assert again in text
    assert "Regularisation candidates" in text
    text = shown(client_for(viewer).get(page_of(found)))
    assert "It was cancelled." in text
    assert again not in text


def test_every_share_stands_with_its_interval_and_its_rows(editor, version, client_for):
    found = judged(editor, version)
    judged(editor, version, seed=1)
    client = client_for(editor)
    page = client.get(page_of(found))
    text = shown(page)
    whole = "<b>80.0%</b> <span>(65.2 to 89.5, n = 60)</span>"
    # the final model's expectation, and the other one over these folds
    assert text.count(whole) == 2
    assert "mean over 2 models, n = 30 each" in text
    # Places 0, 5, ... 55 are wrong, six of either label: 24 of 30 are right, and 24 + 6 are answered so.
    # Wilson for 24 of 30: (24 + 1.9207) / 33.8415 -+ .1385
    assert text.count("<b>80.0%</b> <span>(62.7 to 90.5, n = 30)</span>") == 2
    version_page = client.get(reverse("datasets:version-detail", args=[version.pk]))
    assert shown(version_page).count(whole) == 2


def test_the_folds_and_the_final_model_are_asked_for_by_a_button_of_their_own_and_once(
    editor, version, client_for
):
    """A box beside “Train” was ignored by it; a second press began a second cross-validation."""
    client = client_for(editor)
    new = reverse("training:run-new", args=[version.pk])
    page = client.get(new)
    text = shown(page)
    assert 'name="over" value="folds"' in text
    assert 'name="over" value="folds-final"' in text
    assert "trains_final" not in text
    press = page.context["form"]["press"].value()
    assert press in text
    told = {"backend": "local-classifier", "c_values": "3", "class_weighting": "none", "press": press}
    first = client.post(new, {**told, "over": "folds"})
    CrossValidation.objects.update(state="failed")
    assert client.post(new, {**told, "over": "folds"}).url == first.url
    assert CrossValidation.objects.count() == 1
    first = client.post(new, told)
    TrainingRun.objects.update(state="failed")
    assert client.post(new, told).url == first.url
    assert TrainingRun.objects.count() == 1


def test_the_list_offers_folds_for_the_newest_version_alone(editor, use_case, client_for):
    """An old cross-validation once hid the offer for a new version; the second page offered what was done."""
    found = judged(editor, folded_version(use_case))
    client = client_for(editor)
    path = reverse("training:run-list", args=[use_case.pk])
    offered = "Choose the settings to judge"
    assert offered not in shown(client.get(path))
    train_final(actor=editor, cross_validation=found)
    assert offered not in shown(client.get(f"{path}?after=999999"))
    folded_version(use_case)
    assert offered in shown(client.get(path))


def test_lists_and_stages_leave_the_reports_of_versions_where_they_are(editor, use_case, version, client_for):
    """The report of a large version has megabytes, and a list once read it again for every run."""
    train_final(actor=editor, cross_validation=judged(editor, version))
    one = UseCase.objects.get(pk=use_case.pk)
    with CaptureQueriesContext(connection) as queries:
        states([one])
    assert not [q["sql"] for q in queries if '"report"' in q["sql"]]
    with CaptureQueriesContext(connection) as queries:
        client_for(editor).get(reverse("training:run-list", args=[use_case.pk]))
    lists = ('FROM "datasets_trainingrun"', 'FROM "datasets_crossvalidation"')
    assert not [q["sql"] for q in queries if '"report"' in q["sql"] and any(x in q["sql"] for x in lists)]


def test_answers_leave_as_csv_and_jsonl_with_no_formula_in_a_cell(editor, use_case, client_for):
    found = judged(editor, folded_version(use_case, task_kind="answer"))
    client = client_for(editor)
    response = client.get(page_of(found, "export", "csv"))
    rows = list(csv.DictReader(io.StringIO(b"".join(response.streaming_content).decode())))
    assert len(rows) == 60
    wrong = [row for row in rows if row["right"] == "False"]
    assert len(wrong) == 12
    assert {row["answered"] for row in wrong} == {"'=HYPERLINK(1)"}
    assert response["Content-Disposition"].endswith('.csv"')
    lines = b"".join(client.get(page_of(found, "export", "jsonl")).streaming_content).splitlines()
    assert [json.loads(line)["answered"] for line in lines if not json.loads(line)["right"]] == [
        "=HYPERLINK(1)"
    ] * 12
    assert client.get(page_of(found, "export", "exe")).status_code == 404
    assert AuditEvent.objects.filter(verb="crossvalidation.exported").count() == 2


def test_a_row_that_a_newer_version_tests_on_stays_closed(editor, use_case, client_for):
    found = judged(editor, folded_version(use_case))
    newer = folded_version(use_case)
    row = found.version.rows.filter(split="train").order_by("position").first()
    held = newer.rows.filter(split="test").first()
    held.content_id = row.content_id
    held.save()
    client = client_for(editor)
    text = shown(client.get(page_of(found)))
    assert "A test row of the newest version: sealed." in text
    assert row.content.prompt not in text
    for form in ("csv", "jsonl"):
        body = b"".join(client.get(page_of(found, "export", form)).streaming_content).decode()
        assert row.content.prompt not in body
        assert found.version.rows.get(split="train", position=1).content.prompt in body


def test_text_of_rows_is_text(editor, use_case, client_for):
    version = folded_version(use_case)
    content = version.rows.get(split="train", position=0).content
    content.prompt = "<script>alert(1)</script>"
    content.save()
    text = shown(client_for(editor).get(page_of(judged(editor, version))))
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "<script>alert" not in text


def test_programs_start_it_read_it_and_page_through_its_answers(editor, team, version, client):
    _, key = issue_token(actor=editor, team=team, role=Role.EDITOR, name="k", scope=Scope.WRITE)
    head = {"Authorization": f"Bearer {key}"}
    base = f"/api/v1/versions/{version.pk}/cross-validations"
    made = client.post(base, json.dumps({"settings": {"c_values": [1]}}), "application/json", headers=head)
    assert made.status_code == 201, made.content
    assert made.json()["n_folds"] == 2
    found = judged(editor, version)
    one = client.get(f"/api/v1/cross-validations/{found.pk}", headers=head).json()
    assert one["metrics"]["right"] == 48
    assert [x["id"] for x in client.get(base, headers=head).json()] == [found.pk, made.json()["id"]]
    answers = client.get(f"/api/v1/cross-validations/{found.pk}/answers", headers=head).json()
    assert len(answers["rows"]) == 60
    assert answers["next"] is None
    first = answers["rows"][0]["row"]
    client.get(f"/api/v1/cross-validations/{found.pk}/answers?after={first}", headers=head)
    # one reading is one event, however many pages it takes
    assert AuditEvent.objects.filter(verb="crossvalidation.exported").count() == 1
    early = client.get(f"/api/v1/cross-validations/{made.json()['id']}/answers", headers=head)
    assert early.status_code == 409
    final = client.post(f"/api/v1/cross-validations/{found.pk}/final", headers=head)
    assert final.status_code == 201
    assert final.json()["cross_validation"] == found.pk


def test_programs_can_do_what_the_pages_do(editor, team, outsider, version, client):
    _, key = issue_token(actor=editor, team=team, role=Role.EDITOR, name="k", scope=Scope.WRITE)
    head = {"Authorization": f"Bearer {key}"}
    one, other = judged(editor, version), judged(editor, version, seed=1, wrong=lambda i: i % 10 == 0)
    at = f"/api/v1/cross-validations/{other.pk}"
    lines = b"".join(client.get(f"{at}/export.jsonl", headers=head).streaming_content).splitlines()
    assert sum(not json.loads(line)["right"] for line in lines) == 6
    assert client.get(f"{at}/export.exe", headers=head).status_code == 404
    compared = client.get(f"{at}/comparison?baseline={one.pk}", headers=head).json()
    # of 60 rows 12 are wrong in one, and 6 of these in the other
    assert (compared["n"], compared["better"], compared["worse"]) == (60, 6, 0)
    assert compared["difference"] == pytest.approx(0.1)
    assert client.get(f"{at}/comparison?baseline=999999", headers=head).status_code == 404
    assert client.post(f"{at}/retry", headers=head).status_code == 409
    CrossValidation.objects.filter(pk=other.pk).update(state="failed")
    Job.objects.filter(pk=other.job_id).update(state="failed")
    again = client.post(f"{at}/retry", headers=head)
    assert again.status_code == 200, again.content
    assert again.json()["state"] == "queued"


def test_how_it_ended_is_on_record_and_what_followed_by_itself_is_nobodys_press(editor, version):
    found = start_cross_validation(actor=editor, version=version)
    for _ in range(2):
        end_without_result(cross_validation_id=found.pk, cancelled=False, error="no memory")
    assert AuditEvent.objects.get(verb="crossvalidation.failed").actor is None
    found = start_cross_validation(actor=editor, version=version)
    end_without_result(cross_validation_id=found.pk, cancelled=True, error="")
    assert AuditEvent.objects.get(verb="crossvalidation.cancelled").target_id == str(found.pk)
    judged(editor, version, trains_final=True)
    run = TrainingRun.objects.get()
    event = AuditEvent.objects.get(verb="training.started")
    assert (event.actor, event.note) == (None, "local-classifier, as asked for with the folds")
    # the one who asked is told how it ends
    assert run.created_by == run.job.created_by == editor
