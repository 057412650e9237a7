"""The server that browser tests look at."""

from __future__ import annotations

import urllib.request

import pytest
from django.conf import settings
from django.db import transaction
from django.test import Client
from django.urls import reverse

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def test_a_page_sees_nothing_of_a_transaction_that_stands_open_elsewhere(live_server, team, editor):
    client = Client()
    client.force_login(editor)
    session = client.cookies[settings.SESSION_COOKIE_NAME].value
    asked = urllib.request.Request(
        live_server.url + reverse("teams:team-list"),
        headers={"cookie": f"{settings.SESSION_COOKIE_NAME}={session}"},
    )

    def page():
        with urllib.request.urlopen(asked, timeout=60) as reply:
            return reply.read().decode()

    assert team.name in page()
    with transaction.atomic():
        team.name = "Renamed meanwhile"
        team.save()
        assert "Renamed meanwhile" not in page()
    assert "Renamed meanwhile" in page()
