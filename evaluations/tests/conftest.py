"""A frozen version of any size, made at once, and everything needed to run jobs in process."""

from __future__ import annotations

import hashlib

import pytest
from django.utils import timezone

from datasets.models import Content, Dataset, DatasetVersion, VersionRow
from datasets.training.jobs import KINDS as TRAINING_KINDS
from decisions.services import create_use_case
from evaluations.jobs import KINDS
from foundation.jobs.kinds import register_kinds
from foundation.jobs.services import run_until_idle

WORDS = {
    "billing": "invoice charged twice payment refund card statement fee amount",
    "login": "password reset locked account sign code email verify",
    "delivery": "parcel late courier tracking address shipment door depot",
}


def text_of(label: str, i: int) -> str:
    """A short ticket whose words mostly belong to its label; the same for the same number."""
    words = WORDS[label].split()
    other = [w for name, line in sorted(WORDS.items()) if name != label for w in line.split()]
    picked = [words[(i * 3 + k * (i % 5 + 1)) % len(words)] for k in range(4)]
    picked += [other[(i * 7 + k * 5) % len(other)] for k in range(3)]
    return f"Ticket {i}: " + " ".join(picked)


@pytest.fixture(autouse=True)
def _ground(settings, tmp_path):
    settings.FILES_DIR = tmp_path / "files"
    settings.VAR_DIR = tmp_path / "var"
    register_kinds([*TRAINING_KINDS, *KINDS])


@pytest.fixture
def use_case(team, editor):
    return create_use_case(
        actor=editor, team=team, name="Ticket routing", task_kind="classify", labels=sorted(WORDS)
    )


@pytest.fixture
def make_version(team, use_case):
    """A frozen version: make_version(train=120, validation=60, test=60)."""

    def make(
        *, train=120, validation=60, test=60, labels=None, task_kind="classify", answer=None, text=text_of
    ):
        labels = sorted(WORDS) if labels is None else labels
        number = DatasetVersion.objects.filter(dataset__use_case=use_case).count() + 1
        dataset, _ = Dataset.objects.get_or_create(team=team, use_case=use_case, name="Support tickets")
        version = DatasetVersion.objects.create(
            team=team,
            dataset=dataset,
            number=number,
            state="frozen",
            checksum=hashlib.sha256(f"{number}{train}{validation}{test}".encode()).hexdigest(),
            recipe={"seed": "s", "ratios": ["0.8", "0.1", "0.1"], "strategy": "stratified"},
            task_kind=task_kind,
            labels=labels if task_kind == "classify" else [],
            n_rows=train + validation + test,
            n_train=train,
            n_validation=validation,
            n_test=test,
            frozen_at=timezone.now(),
        )
        contents, rows, i = [], [], 0
        for split, n in (("train", train), ("validation", validation), ("test", test)):
            for position in range(n):
                label = labels[(i * i + i // 3) % len(labels)]
                prompt = text(label, i)
                completion = label if answer is None else answer(label, i)
                contents.append(
                    Content(
                        team=team,
                        digest=hashlib.sha256(f"{number}/{i}".encode()).digest(),
                        prompt=prompt,
                        completion=completion,
                    )
                )
                rows.append((split, position, label if task_kind == "classify" else ""))
                i += 1
        contents = Content.objects.bulk_create(contents, batch_size=1000)
        VersionRow.objects.bulk_create(
            [
                VersionRow(version=version, content=c, label=label, split=split, position=position)
                for c, (split, position, label) in zip(contents, rows, strict=True)
            ],
            batch_size=1000,
        )
        return version

    return make


@pytest.fixture
def version(make_version):
    return make_version()


@pytest.fixture
def idle():
    """Carry every job on until nothing is left to do."""

    def run(seconds=60):
        assert run_until_idle(seconds)

    return run
