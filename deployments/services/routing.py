"""The number gateways ask for: every change of routing counts it up in its own transaction."""

from __future__ import annotations

import secrets

from django.db.models import F

from deployments.models import RoutingRevision

ROW = 1


def touch_routing() -> None:
    """Tell every gateway that something about routing changed; they read it within a second."""
    if not RoutingRevision.objects.filter(pk=ROW).update(number=F("number") + 1):
        RoutingRevision.objects.get_or_create(pk=ROW, defaults={"epoch": secrets.token_hex(16)})
        RoutingRevision.objects.filter(pk=ROW).update(number=F("number") + 1)


def begin_new_epoch() -> None:
    """After a restore: numbers count anew, so that gateways take an older routing for the truth it now is."""
    RoutingRevision.objects.update_or_create(pk=ROW, defaults={"epoch": secrets.token_hex(16), "number": 1})
