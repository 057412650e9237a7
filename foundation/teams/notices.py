"""The inbox: a line for each person concerned, and a letter where e-mail is set up and wanted."""

from __future__ import annotations

from collections.abc import Iterable

from django.conf import settings

from foundation.teams import letters
from foundation.teams.models import Notice, Team, User


def notify(
    *, team: Team, users: Iterable[User] | None, title: str, body: str = "", url: str = ""
) -> list[Notice]:
    """The notices written: one for each of `users` who is in the team, for every member when `users` is None.

    `url` is a path of the portal, as in "/datasets/4/". Raises ValueError for any other.
    """
    if url and (not url.startswith("/") or url.startswith(("//", "/\\"))):
        raise ValueError("A notice leads to a page of the portal: its url starts with one slash.")
    members = User.objects.filter(memberships__team=team, is_active=True)
    if users is not None:
        members = members.filter(pk__in=[user.pk for user in users])
    people = list(members.order_by("pk"))
    notices = Notice.objects.bulk_create(
        [Notice(team=team, user=user, title=title[:200], body=body, url=url[:500]) for user in people]
    )
    letters.post(
        to=[user.email for user in people if user.wants_email],
        subject=f"{title} · {team}",
        body=f"{body}\n\n{settings.PORTAL_URL.rstrip('/')}{url}".strip() if settings.PORTAL_URL else body,
    )
    return notices
