"""The inbox: a line for each person concerned, and a letter where e-mail is set up and wanted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from django.conf import settings

from foundation.teams import letters
from foundation.teams.models import Membership, Notice, Team, User

# Beyond so many lines at once a person gets one letter for all of them; the inbox has each.
MOST_LETTERS = 5


@dataclass(frozen=True, slots=True)
class Line:
    """One line for some people of a team. `url` is a path of the portal."""

    team: Team
    users: Sequence[User]
    title: str
    body: str = ""
    url: str = ""


def notify(
    *, team: Team, users: Iterable[User] | None, title: str, body: str = "", url: str = ""
) -> list[Notice]:
    """The notices written: one for each of `users` who is in the team, for every member when `users` is None.

    `url` is a path of the portal, as in "/datasets/4/". Raises ValueError for any other.
    """
    _check_own(url)
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


def notify_each(lines: Sequence[Line]) -> list[Notice]:
    """The notices of many lines, in a handful of queries however many there are; only members are told.

    Raises ValueError for a url that leaves the portal.
    """
    for line in lines:
        _check_own(line.url)
    people = {user.pk: user for line in lines for user in line.users if user.is_active}
    in_team = set(
        Membership.objects.filter(team__in={line.team.pk for line in lines}, user__in=people).values_list(
            "team_id", "user_id"
        )
    )
    told = [
        (line, user)
        for line in lines
        for user in {user.pk: user for user in line.users}.values()
        if (line.team.pk, user.pk) in in_team
    ]
    notices = Notice.objects.bulk_create(
        [
            Notice(team=line.team, user=user, title=line.title[:200], body=line.body, url=line.url[:500])
            for line, user in told
        ]
    )
    by_person: dict[int, list[Line]] = {}
    for line, user in told:
        if user.wants_email:
            by_person.setdefault(user.pk, []).append(line)
    for pk, own in by_person.items():
        if len(own) > MOST_LETTERS:
            own = [Line(own[0].team, (), f"{len(own)} new lines in your inbox", own[0].title, "/inbox/")]
        for line in own:
            letters.post(
                to=[people[pk].email],
                subject=f"{line.title} · {line.team}",
                body=f"{line.body}\n\n{settings.PORTAL_URL.rstrip('/')}{line.url}".strip()
                if settings.PORTAL_URL
                else line.body,
            )
    return notices


def _check_own(url: str) -> None:
    if url and (not url.startswith("/") or url.startswith(("//", "/\\"))):
        raise ValueError("A notice leads to a page of the portal: its url starts with one slash.")
