"""The demo says that it is one, and goes in one press of an administrator."""

from __future__ import annotations

import pytest
from django.urls import reverse

from decisions.services import create_use_case
from deployments.models import Endpoint
from foundation.jobs.models import Job
from foundation.jobs.services import start_job
from foundation.teams.models import AuditEvent
from foundation.teams.testing import assert_route_guarded
from ftportal.trials import DEMO_RECIPE
from ftportal.workspace import demo_of, put_away

pytestmark = pytest.mark.django_db


@pytest.fixture
def demo(team, admin_user):
    use_case = create_use_case(actor=admin_user, team=team, name=DEMO_RECIPE["name"])
    job = start_job(
        actor=admin_user,
        team=team,
        kind="ftportal.lifecycle",
        title="Demo",
        recipe={**DEMO_RECIPE, "blob": 0},
    )
    return use_case, job


def test_the_pages_say_so_and_offer_to_remove_it(demo, client_for, admin_user, viewer, team):
    use_case, job = demo
    home = reverse("decisions:use-case-list", args=[team.slug])
    page = reverse("decisions:use-case-detail", args=[use_case.pk])
    for url in (home, page):
        seen = client_for(admin_user).get(url).content.decode()
        assert "This is the demo workspace" in seen and "Remove the demo" in seen
        seen = client_for(viewer).get(url).content.decode()
        assert "This is the demo workspace" in seen and "Remove the demo" not in seen
    other = create_use_case(actor=admin_user, team=team, name="Our own")
    own = reverse("decisions:use-case-detail", args=[other.pk])
    assert "demo workspace" not in client_for(admin_user).get(own).content.decode()


def test_one_press_puts_it_away_and_leaves_everything_else(demo, client_for, admin_user, team):
    use_case, job = demo
    other = create_use_case(actor=admin_user, team=team, name="Our own")
    gone = reverse("roof:demo-remove", args=[team.slug])
    assert client_for(admin_user).post(gone).status_code == 302
    use_case.refresh_from_db()
    other.refresh_from_db()
    assert use_case.is_archived and not other.is_archived
    assert not Endpoint.objects.current().exists()
    assert Job.objects.get(pk=job.pk).status.value == "cancelled"
    assert demo_of(team) is None and put_away(actor=admin_user, team=team) is None
    assert AuditEvent.objects.filter(verb="demo.put_away").count() == 1
    home = reverse("decisions:use-case-list", args=[team.slug])
    assert "demo workspace" not in client_for(admin_user).get(home).content.decode()


def test_only_administrators_may(client, team, outsider, viewer, editor):
    gone = reverse("roof:demo-remove", args=[team.slug])
    assert_route_guarded(client, gone, outsider=outsider, viewer=viewer, editor=editor, methods=("POST",))
