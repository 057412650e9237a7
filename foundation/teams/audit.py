"""The record of changes: one row a change, in its transaction; sealed afterwards into one chain a team."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from django.db.models import Model
from django.utils import timezone

from foundation.teams.models import AuditEvent, Team, User


def record(
    *,
    actor: User | None,
    team: Team,
    verb: str,
    target: Model | None,
    fields: Iterable[str] = (),
    digests: Mapping[str, str] | None = None,
    note: str = "",
) -> AuditEvent:
    """The saved event of a change; call it inside the transaction of the change.

    `verb` is "<noun>.<what happened>", as in "dataset.created". `fields` are names only, `digests` hex
    digests by name: what people wrote never comes here. `actor` None is the clock.
    """
    return AuditEvent.objects.create(
        team=team,
        actor=actor if actor is not None and actor.pk else None,
        verb=verb,
        target_type=target._meta.label_lower if target is not None else "",
        target_id=str(target.pk) if target is not None else "",
        fields=sorted(fields),
        digests=dict(digests or {}),
        note=note[:300],
        at=timezone.now(),
    )
