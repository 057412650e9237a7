"""From the bundled raw file to a verdict, and what must not come out when there is nothing to learn."""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path

import pytest
from django.core.management import call_command

from datasets.models import (
    BadRow,
    CrossValidation,
    DatasetVersion,
    Example,
    Import,
    QualityRun,
    Review,
    ReviewItem,
    TrainingRun,
)
from datasets.services import checks
from deployments.models import (
    Alias,
    DriftCheck,
    Endpoint,
    Feedback,
    GatewayToken,
    ModelVersion,
    PerformanceCheck,
    Prediction,
    Retraining,
    Rollout,
)
from evaluations.models import Comparison, Evaluation
from foundation.jobs.models import Job
from foundation.jobs.services import run_until_idle
from foundation.llm.testing.stub_upstream import StubUpstream
from foundation.teams.models import AuditEvent, Notice
from ftportal.trials import DEMO_FILE, DEMO_RECIPE, DEMO_TRAFFIC, TRAFFIC_COLUMNS, start_trial

TRUTH = json.loads(DEMO_FILE.with_suffix("").with_suffix(".truth.json").read_text())
pytestmark = pytest.mark.django_db(transaction=True)


def run(admin_user, team, path: Path, *, traffic: Path | None = None, **changes) -> Job:
    job = start_trial(
        actor=admin_user,
        team=team,
        path=path,
        recipe={**DEMO_RECIPE, **changes},
        traffic=traffic,
        traffic_columns=TRAFFIC_COLUMNS,
    )
    assert run_until_idle(max_seconds=300)
    job.refresh_from_db()
    return job


def findings(job: Job) -> dict[str, str]:
    return dict(job.result["findings"])


@pytest.fixture
def small_files(settings, tmp_path):
    """The files of a test stand in a folder of their own."""
    settings.FILES_DIR = tmp_path / "files"
    settings.VAR_DIR = tmp_path / "var"
    return tmp_path


def some_rows(source: Path, target: Path, n: int, *, shuffled: bool = False) -> Path:
    """The first n whole rows of a CSV file, with their last column dealt out anew if asked."""
    with open(source, encoding="utf-8", newline="") as stream:
        head, *body = [row for row in csv.reader(stream) if len(row) > 5]
    body = body[:n]
    if shuffled:
        last = [row[-1] for row in body]
        random.Random(3).shuffle(last)
        body = [[*row[:-1], queue] for row, queue in zip(body, last, strict=True)]
    with open(target, "w", encoding="utf-8", newline="") as out:
        csv.writer(out).writerows([head, *body])
    return target


def test_the_bundled_file_runs_to_a_version_in_service(admin_user, team, small_files, client_for):
    """One run for everything it must show: two minutes of CI are enough for one."""
    job = run(admin_user, team, DEMO_FILE, traffic=DEMO_TRAFFIC)
    assert job.status.value == "succeeded", job.error
    it_prepared_and_judged_what_was_planted(job)
    it_shipped_behind_the_gateway(job)
    it_found_and_explained_the_shift(job)
    it_learnt_again_and_shipped_again(job)
    its_pages_tell_the_story(client_for(admin_user), team)

    # The same file and recipe again is the same work, not a second workspace.
    again = start_trial(
        actor=admin_user, team=team, path=DEMO_FILE, recipe=DEMO_RECIPE, traffic=DEMO_TRAFFIC,
        traffic_columns=TRAFFIC_COLUMNS,
    )  # fmt: skip
    assert again.pk == job.pk


def it_prepared_and_judged_what_was_planted(job):
    counts = TRUTH["counts"]

    import_ = Import.objects.order_by("pk").first()
    left_out = counts["blank_text"] + counts["blank_queue"] + counts["broken"]
    assert import_.n_good == TRUTH["whole_rows"] - counts["blank_text"] - counts["blank_queue"]
    assert import_.n_bad + import_.n_blank == left_out
    broken = set(BadRow.objects.filter(source=import_).values_list("line", flat=True))
    assert set(TRUTH["broken_lines"]) <= broken

    # What was planted was found: every e-mail address and card number, every decoding fault.
    dataset = import_.dataset
    first = dataset.check_runs.order_by("id").first()
    found = {f.rule: f.n_rows for f in first.findings.all()}
    assert found["pii"] == counts["email"] + counts["card"]
    assert found["encoding"] >= counts["utf8_read_as_cp1252"]
    assert found["lost_characters"] == counts["lost_characters"]
    assert found["conflict"] == 2 * counts["conflict"]
    left = {f.rule for f in checks.open_findings(dataset)}
    assert not left & {"exact_duplicate", "pii", "encoding"}

    version = DatasetVersion.objects.order_by("number").first()
    assert version.is_frozen and len(version.checksum) == 64
    assert version.n_test >= 160  # what 80 % power for 75 → 85 % takes (D17)
    assert not version.override_reason, "the demo needs no override"

    review = Review.objects.get()
    assert review.n_total >= dataset.n_active // 12
    assert set(ReviewItem.objects.values_list("reviewer_name", flat=True)) == {"demo"}

    assert TrainingRun.objects.order_by("pk").first().metrics["sentence"]
    assert Evaluation.objects.filter(is_claim=True).count() == 3
    claim = Comparison.objects.get(is_claim=True)
    assert claim.look_number == 1 and claim.verdict == "better"
    # Which of the two is a matter of milliseconds, and of who else uses the machine.
    assert claim.finding.startswith(("Better than", "More often right than")), claim.finding
    assert set(findings(job)) >= {
        "Use case",
        "Decide",
        "Return",
        "Import",
        "Freeze",
        "Train",
        "Evaluate",
        "Compare",
    }


def it_shipped_behind_the_gateway(job):
    before, winner = ModelVersion.objects.filter(number__lte=2).order_by("number")
    assert (before.candidate.kind, winner.candidate.kind, winner.previous) == ("nearest", "trained", before)
    first = Rollout.objects.order_by("pk").first()
    # Who meets whom is drawn anew each time: a step may be held, and then goes on by hand with the test rows' word.
    moves = list(first.events.exclude(action="pause").order_by("pk").values_list("action", "share"))
    assert moves == [("start", 0.2), ("step", 0.5), ("promote", 1.0)], first.reason
    assert (first.baseline, first.candidate) == (before, winner)
    # Each of the two steps, then the watch: 400 real requests each, all answered, each judged by its id.
    replays = Job.objects.filter(kind="deployments.replay").order_by("pk")
    assert [(j.result["answered"], j.result["failures"]) for j in replays] == [(400, {})] * 3 + [(200, {})]
    assert all(j.result["gateway"].startswith("http://127.0.0.1:") for j in replays)
    predictions = Prediction.objects.all()
    assert predictions.count() == 1400 and Feedback.objects.values("prediction").distinct().count() == 1400
    assert predictions.filter(is_sticky=True, status=200, error="").count() == 1400
    # Growing the share moved nobody back: who met the winner at 20 % met it at 50 %.
    began, grew, ended = first.events.exclude(action="pause").order_by("pk").values_list("at", flat=True)
    at_20, at_50 = (
        set(
            predictions.filter(arm="candidate", at__gte=since, at__lt=until).values_list(
                "sticky_hash", flat=True
            )
        )
        for since, until in ((began, grew), (grew, ended))
    )
    assert len(at_20) > 40 and at_20 <= at_50
    assert not GatewayToken.objects.filter(revoked_at=None).exists(), "a replay takes its key back"
    kept = predictions.exclude(prompt_text="")
    assert kept.count() == 1400 and kept.filter(text_masked=True).count() == 1400
    for verb in ("model_version.registered", "endpoint.created", "rollout.promote", "alias.moved"):
        assert AuditEvent.objects.filter(verb=verb).exists(), verb


def it_found_and_explained_the_shift(job):
    check = DriftCheck.objects.get()
    assert check.state == "drifted" and check.n_current == 400
    wording = check.readings.get(feature="wording")
    assert wording.is_drifted and wording.bins[0] == "locker"
    # What was planted: locker pickup, app 4.0, Pine Pay. Nothing else is claimed.
    significant = {w for w, p in zip(wording.bins, wording.word_p, strict=True) if p <= 0.05}
    assert {"locker", "wallet", "pay"} <= significant
    assert len(wording.samples["requests"]) == 4 and wording.samples["rows"]
    shown = Prediction.objects.filter(pk__in=wording.samples["requests"]).values_list(
        "prompt_text", flat=True
    )
    assert all("locker" in text.lower() for text in shown)
    right = PerformanceCheck.objects.get()
    assert right.n_judged == 400 and right.state in ("holding", "unsure", "degraded")
    assert Notice.objects.filter(title__contains="have changed").exists()
    assert "locker" in findings(job)["Watch"]


def it_learnt_again_and_shipped_again(job):
    retraining = Retraining.objects.get()
    assert (retraining.trigger, retraining.state, retraining.approver) == ("drift", "done", "demo")
    held = set(
        Example.objects.exclude(source=retraining.import_row).values_list("content__prompt", flat=True)
    )
    new = Example.objects.filter(source=retraining.import_row).values_list("content__prompt", flat=True)
    assert len(new) == retraining.n_new_rows >= 390 and not held & set(new)
    first, second = DatasetVersion.objects.order_by("number")
    assert second.recipe["seed"] == first.recipe["seed"]
    assert retraining.improvement["verdict"] and retraining.improvement["value"] is not None
    newest = ModelVersion.objects.get(number=3)
    assert retraining.version == newest and newest.previous.number == 2
    last = Rollout.objects.order_by("pk").last()
    assert last.candidate == newest and last.phase.is_final
    names = dict(Alias.objects.values_list("name", "version__number"))
    assert names == {"production": 3, "previous": 2}, findings(job)["Ship again"]
    # The requests of the last rollout were never learnt from.
    tried = Prediction.objects.newest().values_list("prompt_text", flat=True)[:200]
    assert not set(tried) & set(new)


def its_pages_tell_the_story(page, team):
    use_case, endpoint = Endpoint.objects.get().use_case, Endpoint.objects.get()
    seen = page.get(f"/use-cases/{use_case.pk}/").content.decode()
    assert "v3 answers at support-triage" in seen
    check = DriftCheck.objects.get()
    drift = page.get(f"/drift/{check.pk}/").content.decode()
    assert "locker" in drift and "Requests there" in drift and "Rows there" in drift
    retraining = Retraining.objects.get()
    assert "approved by demo" in page.get(f"/retrainings/{retraining.pk}/").content.decode()
    assert page.get(f"/endpoints/{endpoint.pk}/predictions/?feedback=wrong").status_code == 200
    for version in ModelVersion.objects.all():
        assert page.get(f"/versions/{version.pk}/").status_code == 200


def test_shuffled_labels_bring_no_verdict_of_better(admin_user, team, small_files):
    """With nothing to learn, accuracy falls to chance and nobody is told to ship."""
    path = some_rows(DEMO_FILE, small_files / "shuffled.csv", 1200, shuffled=True)
    later = some_rows(DEMO_TRAFFIC, small_files / "later.csv", 240)
    job = run(admin_user, team, path, name="Shuffled", traffic=later, n_folds=2, cross_validate=True)
    assert job.status.value == "succeeded", job.error
    # Judged over folds it knows nothing either, though each model knows the rows it learnt from.
    folded = CrossValidation.objects.get()
    assert folded.metrics["n"] == folded.version.n_train + folded.version.n_validation
    assert folded.metrics["low"] < 0.3 and folded.metrics["train"] > 0.6
    assert f"{folded.metrics['accuracy']:.1%} right" in findings(job)["Train"]
    claim = Comparison.objects.get(is_claim=True)
    assert claim.verdict != "better", claim.finding
    trained = Evaluation.objects.get(is_claim=True, candidate__kind="trained")
    # The largest queue holds 24 % of the rows: knowing nothing scores between a sixth and about that.
    assert trained.score < 0.33
    rollout = Rollout.objects.get()
    assert rollout.state != "promoted" and rollout.endpoint.baseline == rollout.baseline
    assert dict(Alias.objects.values_list("name", "version__number")) == {"production": 1}
    assert "then promoted" not in findings(job)["Roll out"] and not Retraining.objects.exists()


def test_a_file_of_answers_runs_too(admin_user, team, small_files):
    """Prompt and completion without labels: answers are compared by words, the nearest example answers."""
    path = small_files / "faq.jsonl"
    with open(path, "w") as out:
        for i in range(620):
            out.write(
                json.dumps(
                    {
                        "prompt": f"How do I set option {i} of the {i % 7} heater?",
                        "completion": f"Turn dial {i % 7} until {i} shows, then press start twice.",
                    }
                )
                + "\n"
            )
    job = run(admin_user, team, path, name="Heater help", text="", label="", group="", at="", facts={})
    assert job.status.value == "succeeded", job.error
    claim = Comparison.objects.get(is_claim=True)
    assert claim.finding
    it_said_honestly_what_ships_without_traffic(job, claim)


def it_said_honestly_what_ships_without_traffic(job, claim):
    said = findings(job)
    assert not Rollout.objects.exists() and not Retraining.objects.exists()
    if claim.verdict == "better":
        assert "Smoke test with 20 validation rows: 20 answered, 0 failed" in said["Roll out"]
        smoke = Prediction.objects.all()
        assert smoke.count() == 20 and not smoke.filter(is_sticky=True).exists()
        assert not Feedback.objects.exists(), "a smoke test judges nobody"
    else:
        assert "is not served" in said["Serve"] and not Endpoint.objects.exists()
    assert "say nothing" in said["Watch"] or "nothing is watched" in said["Watch"]


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        pytest.param("none.csv", None, "There is no file", id="missing"),
        pytest.param("empty.csv", b"", "is empty", id="empty"),
        pytest.param("binary.csv", bytes(range(256)) * 40, "", id="binary"),
        pytest.param("one-column.csv", b"a\n1\n2\n", "", id="one column"),
    ],
)
def test_a_wrong_file_is_one_sentence(capsys, small_files, name, content, sentence):
    path = small_files / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SystemExit) as ended:
        call_command("lifecycle", str(path))
    assert ended.value.code in (1, 2)
    said = capsys.readouterr().err.strip()
    assert sentence in said and said.count("\n") == 0 and said.endswith((".", "?"))
    assert "Traceback" not in said


def test_with_a_model_connected_judge_cap_retries_and_unscored_rows_are_seen(
    admin_user, team, small_files, client_for, settings
):
    """The whole course against a stub that speaks Claude's protocol, with faults: everything is seen on the pages."""
    with StubUpstream(script=[{"fault": "529", "every": 9}, {"fault": "bad-answer", "every": 13}]) as stub:
        settings.ANTHROPIC_API_KEY = "sk-test-not-a-secret"
        settings.ANTHROPIC_BASE_URL = stub.url
        path = some_rows(DEMO_FILE, small_files / "few.csv", 900)
        job = run(admin_user, team, path, name="With Claude", cap_microusd=2_000_000, judge=True)
        assert job.status.value == "succeeded", job.error
        calls = stub.stats()

    quality = QualityRun.objects.get()
    assert 0 < quality.n_scored <= quality.n_sample
    spent = sum(Job.objects.filter(team=team).values_list("spent_microusd", flat=True))
    assert spent > 0
    for paid in Job.objects.filter(team=team, cap_microusd__isnull=False):
        assert paid.spent_microusd <= paid.cap_microusd
    # Overloaded answers were tried again: more calls than rows asked.
    assert calls["calls"] > quality.n_sample
    prompts = Evaluation.objects.filter(candidate__kind="prompt")
    assert prompts.count() == 2  # validation and the claim
    claim = Comparison.objects.get(is_claim=True)

    page = client_for(admin_user)
    seen = page.get(f"/evaluations/{prompts.order_by('pk').first().pk}/").content.decode()
    assert "Claude with a prompt and examples" in seen
    dataset_page = page.get(f"/datasets/{quality.dataset_id}/").content.decode()
    assert "unscored" in dataset_page.lower() or quality.n_scored == quality.n_sample
    assert page.get(f"/comparisons/{claim.pk}/").status_code == 200
