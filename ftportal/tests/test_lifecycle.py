"""From the bundled raw file to a verdict, and what must not come out when there is nothing to learn."""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path

import pytest
from django.core.management import call_command

from datasets.models import BadRow, DatasetVersion, Import, QualityRun, Review, ReviewItem, TrainingRun
from datasets.services import checks
from evaluations.models import Comparison, Evaluation
from foundation.jobs.models import Job
from foundation.jobs.services import run_until_idle
from foundation.llm.testing.stub_upstream import StubUpstream
from ftportal.trials import DEMO_FILE, DEMO_RECIPE, start_trial

TRUTH = json.loads(DEMO_FILE.with_suffix("").with_suffix(".truth.json").read_text())
pytestmark = pytest.mark.django_db(transaction=True)


def run(admin_user, team, path: Path, **changes) -> Job:
    job = start_trial(actor=admin_user, team=team, path=path, recipe={**DEMO_RECIPE, **changes})
    assert run_until_idle(max_seconds=300)
    job.refresh_from_db()
    return job


def findings(job: Job) -> dict[str, str]:
    return dict(job.result["findings"])


@pytest.fixture
def small_files(settings, tmp_path):
    """The files of a test stand in a folder of their own."""
    settings.FILES_DIR = tmp_path / "files"
    return tmp_path


def test_the_bundled_file_runs_to_a_verdict(admin_user, team, small_files, client):
    job = run(admin_user, team, DEMO_FILE)
    assert job.status.value == "succeeded", job.error
    counts = TRUTH["counts"]

    import_ = Import.objects.get()
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

    version = DatasetVersion.objects.get()
    assert version.is_frozen and len(version.checksum) == 64
    assert version.n_test >= 160  # what 80 % power for 75 → 85 % takes (D17)
    assert not version.override_reason, "the demo needs no override"

    review = Review.objects.get()
    assert review.n_total >= dataset.n_active // 10
    assert set(ReviewItem.objects.values_list("reviewer_name", flat=True)) == {"demo"}

    assert TrainingRun.objects.get().metrics["sentence"]
    assert Evaluation.objects.filter(is_claim=True).count() == 3
    claim = Comparison.objects.get(is_claim=True)
    assert claim.look_number == 1 and claim.verdict == "better"
    assert "Better than" in claim.finding
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

    # The same file and recipe again is the same work, not a second workspace.
    again = start_trial(actor=admin_user, team=team, path=DEMO_FILE, recipe=DEMO_RECIPE)
    assert again.pk == job.pk


def test_shuffled_labels_bring_no_verdict_of_better(admin_user, team, small_files):
    """With nothing to learn, accuracy falls to chance and nobody is told to ship."""
    with open(DEMO_FILE, encoding="utf-8", newline="") as source:
        rows = [row for row in csv.reader(source) if len(row) == 6]
    head, body = rows[0], rows[1:]
    queues = [row[5] for row in body]
    random.Random(3).shuffle(queues)
    path = small_files / "shuffled.csv"
    with open(path, "w", encoding="utf-8", newline="") as out:
        csv.writer(out).writerows(
            [head, *([*row[:5], queue] for row, queue in zip(body, queues, strict=True))]
        )

    job = run(admin_user, team, path, name="Shuffled")
    assert job.status.value == "succeeded", job.error
    claim = Comparison.objects.get(is_claim=True)
    assert claim.verdict != "better", claim.finding
    trained = Evaluation.objects.get(is_claim=True, candidate__kind="trained")
    # The largest queue holds 24 % of the rows: knowing nothing scores between a sixth and about that.
    assert trained.score < 0.33


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
    assert Comparison.objects.get(is_claim=True).finding


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
        path = small_files / "few.csv"
        with open(DEMO_FILE, encoding="utf-8", newline="") as source:
            rows = [row for row in csv.reader(source) if len(row) == 6]
        with open(path, "w", encoding="utf-8", newline="") as out:
            csv.writer(out).writerows(rows[:900])
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
