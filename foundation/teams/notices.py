"""The inbox: a line for each person concerned, and a letter where e-mail is set up."""

from __future__ import annotations

from collections.abc import Iterable

from foundation.teams.models import Notice, Team, User


def notify(*, team: Team, users: Iterable[User] | None, title: str, body: str = "", url: str = "") -> list[Notice]:
    """The notices written: one for each of `users` who is in the team, for every member when `users` is None.

    `url` is a path of the portal, as in "/datasets/4/". Raises ValueError for any other.
    """
    if url and (not url.startswith("/") or url.startswith("//")):
        raise ValueError("A notice leads to a page of the portal: its url starts with one slash.")
    members = User.objects.filter(memberships__team=team, is_active=True)
    if users is not None:
        members = members.filter(pk__in=[user.pk for user in users])
    return Notice.objects.bulk_create(
        [Notice(team=team, user=user, title=title[:200], body=body, url=url[:500]) for user in members.order_by("pk")]
    )
