"""A day of live traffic in seconds, printed as it went: `pytest -s deployments/tests/test_scripted_day.py`.

A good candidate is promoted, a bad one taken back, an even one held, and a new word in the requests is found. What a
retraining makes of such a find is run with real jobs in test_retraining.py and on the bundled files in the lifecycle.
"""

from __future__ import annotations

import random
from datetime import timedelta

import pytest

from datasets.models import Content, Dataset, DatasetVersion, VersionRow
from deployments.domain.canary import RolloutState
from deployments.domain.features import features_of
from deployments.models import Prediction, Retraining
from deployments.services import set_alias, watching
from deployments.services.retraining import propose_where_needed
from deployments.tests.test_domain_wording import texts
from deployments.tests.test_services_rollouts import START, a_day, begin, id_at

pytestmark = pytest.mark.django_db


def say(title, rollout):
    print(f"\n{title}: {rollout.candidate} instead of {rollout.baseline}")
    for event in rollout.events.order_by("pk"):
        after = event.at - START
        hours, minutes = divmod(int(after.total_seconds()) // 60, 60)
        print(f"  {hours:02d}:{minutes:02d}  {event.action:<9} {event.share:>5.0%}  {event.reason}")


@pytest.mark.parametrize(
    ("title", "right", "state", "last"),
    [
        pytest.param("A good candidate", (0.80, 0.92), RolloutState.PROMOTED, "promote", id="good"),
        pytest.param("A bad candidate", (0.90, 0.70), RolloutState.ROLLED_BACK, "roll back", id="bad"),
        pytest.param("An even candidate", (0.80, 0.80), RolloutState.PAUSED, "pause", id="even"),
    ],
)
def test_the_day_of(title, right, state, last, endpoint, make_version, editor):
    rollout = begin(endpoint, make_version("Better?"), editor)
    before = endpoint.baseline
    moves = a_day(rollout, right=right)
    say(title, rollout)
    assert rollout.state == state and moves[-1] == last
    endpoint.refresh_from_db()
    assert (endpoint.baseline == before) is (state != RolloutState.PROMOTED)


def test_the_evening_a_new_word_comes(endpoint, use_case, team, editor):
    version = endpoint.baseline
    dataset = Dataset.objects.create(team=team, use_case=use_case, name="Tickets")
    frozen = DatasetVersion.objects.create(
        team=team,
        dataset=dataset,
        number=1,
        state="frozen",
        checksum="0" * 64,
        frozen_at=START,
        n_train=400,
        n_validation=200,
    )
    learnt = texts(600, seed=1, new="locker", share=0.02)
    contents = Content.objects.bulk_create(
        Content(team=team, digest=i.to_bytes(32, "big"), prompt=text, completion="x")
        for i, text in enumerate(learnt)
    )
    VersionRow.objects.bulk_create(
        VersionRow(
            version=frozen, content=c, split="train" if i < 400 else "validation", position=i, label="billing"
        )
        for i, c in enumerate(contents)
    )
    version.candidate.version = frozen
    version.candidate.save()
    set_alias(actor=editor, version=version)
    rng, now = random.Random(5), START + timedelta(hours=20)
    # One of the eight words gives way to the new one, so that the texts are as long as ever.
    evening = [
        " ".join([*text.split()[:7], "locker"]) if i % 3 == 0 else text
        for i, text in enumerate(texts(300, seed=2))
    ]
    Prediction.objects.bulk_create(
        Prediction(
            id=id_at(at, rng), team_id=team.pk, endpoint=endpoint, version=version, arm="baseline", at=at,
            status=200, latency_ms=90, features=features_of(text), prompt_text=text,
        )
        for text in evening
        for at in [now - timedelta(minutes=rng.random() * 120)]
    )  # fmt: skip
    check = watching.keep_drift(watching.look_for_drift(endpoint, now=now))
    print(f"\nThe evening: {check.finding}")
    assert check.state == "drifted" and "wording" in check.finding
    reading = check.readings.get(feature="wording")
    assert reading.is_drifted and reading.bins[0] == "locker"
    shown = Prediction.objects.filter(pk__in=reading.samples["requests"])
    assert shown and all("locker" in p.prompt_text for p in shown)
    assert VersionRow.objects.filter(
        pk__in=reading.samples["rows"], content__prompt__contains="locker"
    ).exists()
    assert propose_where_needed() == 1
    print(f"  proposed: {Retraining.objects.get().reason}")
