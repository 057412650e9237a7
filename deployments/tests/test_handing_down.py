"""What serving measures reaches the use case: volume over whole days, and the day its model retires."""

from __future__ import annotations

import uuid
from datetime import UTC, date, datetime, timedelta

import pytest

from datasets.models import Dataset, DatasetVersion, TrainingRun
from decisions.models import Evidence
from deployments.domain.routing import Arm
from deployments.models import Alias, Prediction
from deployments.services import register_version
from deployments.services.handing_down import hand_down, hand_down_retirements
from deployments.services.measuring import first_id_at
from evaluations.services.candidates import candidate_for_run
from foundation.llm.models import ModelEntry

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 26, 15, 30, tzinfo=UTC)


def requests(endpoint, day, n, arm=Arm.BASELINE):
    at = datetime(2026, 11, day, 12, tzinfo=UTC)
    first = first_id_at(at).int + 1000 * Prediction.objects.count()
    Prediction.objects.bulk_create(
        Prediction(
            id=uuid.UUID(int=first + i),
            team=endpoint.team,
            endpoint=endpoint,
            version=endpoint.baseline,
            arm=arm,
            at=at,
            status=200,
        )
        for i in range(n)
    )


def volume(endpoint):
    endpoint.use_case.refresh_from_db()
    return endpoint.use_case.measured.get("volume_per_day", {}).get("value")


def test_requests_of_the_last_whole_days_are_the_measured_volume(endpoint):
    # Seven whole days are the 19th to the 25th: 70 + 14 = 84 in 7 days are 12 a day. The 18th is too old, the 26th
    # is not over, a shadow copy is no request of anybody.
    requests(endpoint, 18, 500)
    requests(endpoint, 19, 70)
    requests(endpoint, 25, 14)
    requests(endpoint, 26, 900)
    requests(endpoint, 24, 300, arm=Arm.SHADOW)
    assert hand_down(now=NOW) == 1
    assert volume(endpoint) == 12
    evidence = Evidence.objects.get(kind="volume_per_day")
    assert evidence.source == "gateway, 84 requests in 7 days up to 25 Nov 2026"


def test_a_second_look_and_a_breath_of_traffic_tell_nothing_new(endpoint):
    requests(endpoint, 19, 700)
    assert (hand_down(now=NOW), hand_down(now=NOW)) == (1, 0)
    # 100 a day before; 770 in the same days are 110: exactly a tenth more, and not worth telling. 777 are 111.
    requests(endpoint, 20, 70)
    assert hand_down(now=NOW) == 0
    requests(endpoint, 21, 7)
    assert hand_down(now=NOW) == 1
    assert volume(endpoint) == 111


def test_traffic_that_began_yesterday_measures_nothing_yet_and_after_three_days_its_own_days(endpoint):
    requests(endpoint, 25, 50)
    requests(endpoint, 24, 50)
    assert hand_down(now=NOW) == 0
    assert volume(endpoint) is None
    assert hand_down(now=NOW + timedelta(days=1)) == 1
    # 100 requests in the 24th, 25th and 26th.
    assert volume(endpoint) == 33


def in_production(use_case, version):
    Alias.objects.update_or_create(
        use_case=use_case, name="production", defaults={"team": use_case.team, "version": version}
    )


def retires(model, day, provider="anthropic"):
    ModelEntry.objects.update_or_create(
        provider=provider, model_id=model, defaults={"display_name": model, "retires_at": day}
    )


@pytest.fixture
def trained(use_case, editor):
    """A version of a model that a provider trained on a base model."""

    def make(**settings):
        dataset = Dataset.objects.create(team=use_case.team, use_case=use_case, name="Tickets")
        frozen = DatasetVersion.objects.create(team=use_case.team, dataset=dataset, number=1)
        run = TrainingRun.objects.create(
            team=use_case.team,
            use_case=use_case,
            version=frozen,
            number=1,
            backend="hosted",
            settings=settings,
            model_id="ours-1",
            state="succeeded",
        )
        candidate = candidate_for_run(actor=editor, run=run)
        return register_version(actor=editor, use_case=use_case, candidate=candidate)

    return make


def test_the_day_the_base_of_the_trained_model_retires_is_told_once(use_case, trained):
    retires("base-small", date(2027, 3, 1))
    in_production(use_case, trained(base_model="base-small"))
    assert (hand_down_retirements(), hand_down_retirements()) == (1, 0)
    use_case.refresh_from_db()
    assert use_case.measured["base_model_retires_on"]["value"] == "2027-03-01"
    # Another provider ends it sooner: that day counts.
    retires("base-small", date(2027, 1, 6), provider="bedrock")
    assert hand_down_retirements() == 1
    use_case.refresh_from_db()
    assert use_case.measured["base_model_retires_on"]["value"] == "2027-01-06"


def test_a_prompt_in_production_says_nothing_of_the_fine_tuned_models_life(endpoint, use_case):
    candidate = endpoint.baseline.candidate
    retires(candidate.model_id, date(2027, 3, 1), provider=candidate.connection.provider)
    in_production(use_case, endpoint.baseline)
    assert hand_down_retirements() == 0
    use_case.refresh_from_db()
    assert "base_model_retires_on" not in use_case.measured


def test_a_model_trained_here_rests_on_no_base_model(use_case, trained):
    retires("ours-1", date(2027, 3, 1))
    in_production(use_case, trained(epochs=3))
    assert hand_down_retirements() == 0
