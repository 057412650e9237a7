"""What people do about people: teams, members, invitations, tokens, and the sealing of the record.

Each function is one intention with its transaction and its audit event. `actor` None is the clock or the
command line.
"""

from __future__ import annotations

import hashlib
import logging
from datetime import datetime, timedelta

from allauth.mfa.models import Authenticator
from django.contrib.auth.password_validation import validate_password
from django.contrib.sessions.models import Session
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import IntegrityError, connection, transaction
from django.db.models import Max
from django.utils import timezone

from foundation.teams import letters
from foundation.teams.audit import record
from foundation.teams.domain.chain import START, Link, Verdict, seal, walk
from foundation.teams.domain.roles import Role
from foundation.teams.domain.scopes import Scope
from foundation.teams.domain.slugs import free_slug
from foundation.teams.domain.themes import Theme
from foundation.teams.errors import BadInput, BadInvitation, Conflict, LastAdmin
from foundation.teams.models import (
    ApiToken,
    AuditEvent,
    AuditSeal,
    Invitation,
    Membership,
    Notice,
    Press,
    Team,
    User,
)
from foundation.teams.notices import notify
from foundation.teams.policies import check_can_give_scope
from foundation.teams.presses import derived_secret
from foundation.teams.tokens import secret_digest
from foundation.teams.vault import renew

log = logging.getLogger(__name__)

INVITATION_LIFE = timedelta(days=7)
TOKEN_LIFE_DAYS = 90
TOKEN_LIFE_MAX_DAYS = 366
# One transaction of sealing stays well below the 40 ms that a writer may hold SQLite's lock.
SEAL_BATCH = 200
PRESS_LIFE = timedelta(days=2)
NOTICE_LIFE = timedelta(days=180)


# --- people and teams ---------------------------------------------------------------------------------------


@transaction.atomic
def create_first_admin(*, email: str, password: str, name: str = "", team_name: str = "") -> User:
    """The saved superuser, admin of a new team when `team_name` is given.

    Raises: BadInput for an address or a password that cannot be used, Conflict when the address is taken.
    """
    user = _create_user(email=email, password=password, name=name, superuser=True)
    if team_name:
        create_team(actor=user, name=team_name)
    return user


def _create_user(*, email: str, password: str, name: str, superuser: bool) -> User:
    try:
        validate_email(email)
    except ValidationError:
        raise BadInput(f"{email!r} is not an e-mail address.", field="email") from None
    try:
        validate_password(password, User(email=email, name=name))
    except ValidationError as error:
        raise BadInput(" ".join(error.messages), field="password") from None
    if User.objects.filter(email=email.lower()).exists():
        raise Conflict(f"Somebody already signs in as {email}.")
    make = User.objects.create_superuser if superuser else User.objects.create_user
    return make(email, password, name=name)


@transaction.atomic
def create_team(*, actor: User | None, name: str) -> Team:
    """The saved team, with `actor` as its first admin. Raises BadInput for an empty or overlong name."""
    name = _team_name(name)
    slug = free_slug(name, lambda candidate: Team.objects.filter(slug=candidate).exists())
    team = Team.objects.create(name=name, slug=slug)
    if actor is not None:
        Membership.objects.create(team=team, user=actor, role=Role.ADMIN)
    record(actor=actor, team=team, verb="team.created", target=team, fields=["name"])
    return team


@transaction.atomic
def rename_team(*, actor: User | None, team: Team, name: str) -> Team:
    """The team under its new name; its addresses stay as they are. Raises BadInput for an unusable name."""
    name = _team_name(name)
    if name != team.name:
        team.name = name
        team.save(update_fields=["name"])
        record(actor=actor, team=team, verb="team.renamed", target=team, fields=["name"])
    return team


def _team_name(name: str) -> str:
    name = " ".join(name.split())
    if not name:
        raise BadInput("Give the team a name.", field="name")
    if len(name) > 200:
        raise BadInput("A team's name has 200 characters at most.", field="name")
    return name


def update_profile(*, actor: User, name: str, theme: str, wants_email: bool) -> User:
    """The person with their new name and looks. Raises BadInput for a theme that does not exist."""
    if theme not in set(Theme):
        raise BadInput("Choose one of the looks offered.", field="theme")
    actor.name, actor.theme, actor.wants_email = name.strip()[:200], theme, wants_email
    actor.save(update_fields=["name", "theme", "wants_email"])
    return actor


# --- members ------------------------------------------------------------------------------------------------


@transaction.atomic
def add_member(*, actor: User | None, team: Team, user: User, role: Role) -> Membership:
    """The saved membership. Raises Conflict when the person is already in the team."""
    try:
        with transaction.atomic():
            membership = Membership.objects.create(team=team, user=user, role=role)
    except IntegrityError:
        raise Conflict(f"{user} is already in {team}.") from None
    record(actor=actor, team=team, verb="member.added", target=membership, note=f"as {role.label.lower()}")
    return membership


@transaction.atomic
def change_role(*, actor: User | None, membership: Membership, role: Role) -> Membership:
    """The membership with its new role. Raises LastAdmin when the team would be left without one."""
    membership = _locked(membership)
    before = Role(membership.role)
    if before == role:
        return membership
    if before is Role.ADMIN:
        _check_another_admin(membership)
    membership.role = role
    membership.save(update_fields=["role"])
    note = f"from {before.label.lower()} to {role.label.lower()}"
    record(
        actor=actor,
        team=membership.team,
        verb="member.role_changed",
        target=membership,
        fields=["role"],
        note=note,
    )
    if actor is None or actor.pk != membership.user_id:
        notify(
            team=membership.team,
            users=[membership.user],
            title=f"You are now {role.label.lower()} in {membership.team}",
            body=f"Before, you were {before.label.lower()}.",
        )
    return membership


@transaction.atomic
def remove_member(*, actor: User | None, membership: Membership) -> None:
    """Take the person out of the team and end their tokens for it. Raises LastAdmin for the last admin."""
    membership = _locked(membership)
    if Role(membership.role) is Role.ADMIN:
        _check_another_admin(membership)
    now = timezone.now()
    ApiToken.objects.of(membership.team).filter(user=membership.user, revoked_at=None).update(revoked_at=now)
    left = actor is not None and actor.pk == membership.user_id
    record(
        actor=actor,
        team=membership.team,
        verb="member.left" if left else "member.removed",
        target=membership,
        note=f"user {membership.user_id}",
    )
    membership.delete()


def _locked(membership: Membership) -> Membership:
    # All rows of the team, in one order: two admins who demote each other at once must not both succeed.
    rows = list(
        Membership.objects.select_for_update(of=("self",))
        .filter(team_id=membership.team_id)
        .select_related("team", "user")
        .order_by("pk")
    )
    for row in rows:
        if row.pk == membership.pk:
            return row
    raise Conflict("This person has already left the team.")


def _check_another_admin(membership: Membership) -> None:
    others = Membership.objects.filter(team_id=membership.team_id, role=Role.ADMIN, user__is_active=True)
    if not others.exclude(pk=membership.pk).exists():
        raise LastAdmin


# --- invitations --------------------------------------------------------------------------------------------


@transaction.atomic
def invite(
    *, actor: User, team: Team, role: Role, email: str = "", press: str = "", now: datetime | None = None
) -> tuple[Invitation, str]:
    """The saved invitation and the secret of its link, valid for 7 days and for one person.

    With `email` only somebody with that address can use it. A second press of the form finds the same pair.
    Raises: BadInput for an unusable address, Conflict when that person is already in the team.
    """
    email = email.strip().lower()
    if email:
        try:
            validate_email(email)
        except ValidationError:
            raise BadInput("This is not an e-mail address.", field="email") from None
        if Membership.objects.filter(team=team, user__email=email).exists():
            raise Conflict(f"{email} is already in {team}.")
    secret = derived_secret(
        user=actor, press=press, purpose=f"invitation {team.pk} {role} {email}", length=40
    )
    now = now or timezone.now()
    invitation, is_new = Invitation.objects.get_or_create(
        token_sha256=secret_digest(secret),
        defaults={
            "team": team,
            "email": email,
            "role": role,
            "created_by": actor,
            "expires_at": now + INVITATION_LIFE,
        },
    )
    if is_new:
        digests = {"email": hashlib.sha256(email.encode()).hexdigest()} if email else {}
        record(
            actor=actor,
            team=team,
            verb="invitation.created",
            target=invitation,
            digests=digests,
            note=f"as {role.label.lower()}",
        )
    return invitation, secret


def find_invitation(*, secret: str = "", sha256: str = "", now: datetime | None = None) -> Invitation:
    """The open invitation of a link (or its hash), with team and inviter. Raises BadInvitation otherwise."""
    digest = sha256 or secret_digest(secret)
    invitation = Invitation.objects.filter(token_sha256=digest).select_related("team", "created_by").first()
    if invitation is None:
        raise BadInvitation("This invitation does not exist. Ask for a new link.")
    if invitation.accepted_at:
        raise BadInvitation(
            "This invitation was already used. Each link lets one person in; ask for a new one."
        )
    if invitation.revoked_at:
        raise BadInvitation("This invitation was taken back. Ask for a new link.")
    if invitation.expires_at <= (now or timezone.now()):
        raise BadInvitation("This invitation is too old. Ask for a new link.")
    return invitation


@transaction.atomic
def accept_invitation(
    *, user: User, secret: str = "", sha256: str = "", now: datetime | None = None
) -> Membership:
    """The membership the invitation gives to `user`; the link is used up.

    Raises: BadInvitation when it cannot be used (by this person), Conflict when they are already in the team.
    """
    now = now or timezone.now()
    invitation = find_invitation(secret=secret, sha256=sha256, now=now)
    if invitation.email and invitation.email != user.email:
        raise BadInvitation(f"This invitation is for {invitation.email}; you are signed in as {user.email}.")
    # One conditional write: of two people with the same link, one gets in.
    if not Invitation.objects.open(now).filter(pk=invitation.pk).update(accepted_at=now, accepted_by=user):
        raise BadInvitation(
            "This invitation was already used. Each link lets one person in; ask for a new one."
        )
    membership = add_member(actor=user, team=invitation.team, user=user, role=Role(invitation.role))
    record(actor=user, team=invitation.team, verb="invitation.accepted", target=invitation)
    if invitation.created_by is not None:
        notify(
            team=invitation.team,
            users=[invitation.created_by],
            title=f"{user} joined {invitation.team}",
            body=f"As {Role(invitation.role).label.lower()}, by your invitation.",
        )
    return membership


@transaction.atomic
def revoke_invitation(*, actor: User | None, invitation: Invitation) -> None:
    """Close the link. Doing it again changes nothing; a used invitation stays used."""
    closed = Invitation.objects.filter(pk=invitation.pk, accepted_at=None, revoked_at=None)
    if closed.update(revoked_at=timezone.now()):
        record(actor=actor, team=invitation.team, verb="invitation.revoked", target=invitation)


def send_invitation(*, invitation: Invitation, link: str) -> bool:
    """Whether a letter with the link is on its way: only to a named address, and where e-mail is set up."""
    if not invitation.email:
        return False
    who = invitation.created_by or "Somebody"
    return letters.post(
        to=[invitation.email],
        subject=f"{who} invites you to {invitation.team}",
        body=(
            f"{who} invites you to work in {invitation.team} as {Role(invitation.role).label.lower()}.\n\n"
            f"Open this link within 7 days:\n{link}\n\nIf you did not expect it, do nothing.\n"
        ),
    )


# --- API tokens ---------------------------------------------------------------------------------------------


@transaction.atomic
def issue_token(
    *,
    actor: User,
    team: Team,
    role: Role,
    name: str,
    scope: Scope = Scope.READ,
    days: int = TOKEN_LIFE_DAYS,
    press: str = "",
) -> tuple[ApiToken, str]:
    """The saved token and its text "ftl_<8>_<32>", which is shown once and kept nowhere.

    `role` is the actor's own in the team. A second press of the same form finds the same pair.
    Raises: BadInput for an empty name, a scope beyond the role, or a life outside 1 to 366 days.
    """
    name = " ".join(name.split())
    if not name:
        raise BadInput("Say what the token is for, so that you know it again.", field="name")
    if len(name) > 100:
        raise BadInput("A token's name has 100 characters at most.", field="name")
    if not 1 <= days <= TOKEN_LIFE_MAX_DAYS:
        raise BadInput(f"A token lives between 1 and {TOKEN_LIFE_MAX_DAYS} days.", field="days")
    check_can_give_scope(role, scope)
    text = derived_secret(
        user=actor, press=press, purpose=f"token {team.pk} {name} {scope} {days}", length=40
    )
    prefix, secret = text[:8], text[8:]
    token, is_new = ApiToken.objects.get_or_create(
        prefix=prefix,
        defaults={
            "team": team,
            "user": actor,
            "name": name,
            "scope": scope,
            "secret_sha256": secret_digest(secret),
            "expires_at": timezone.now() + timedelta(days=days),
        },
    )
    if is_new:
        record(actor=actor, team=team, verb="token.issued", target=token, note=f"{scope}, {days} days")
    return token, f"ftl_{prefix}_{secret}"


@transaction.atomic
def revoke_token(*, actor: User | None, token: ApiToken) -> None:
    """End the token now. Doing it again changes nothing."""
    if ApiToken.objects.filter(pk=token.pk, revoked_at=None).update(revoked_at=timezone.now()):
        record(actor=actor, team=token.team, verb="token.revoked", target=token)


# --- inbox --------------------------------------------------------------------------------------------------


def mark_read(*, user: User, notices: list[int] | None = None) -> int:
    """How many of the person's notices became read: those with these ids, or all when None."""
    mine = Notice.objects.filter(user=user, read_at=None)
    if notices is not None:
        mine = mine.filter(pk__in=notices)
    return mine.update(read_at=timezone.now())


# --- the record ---------------------------------------------------------------------------------------------


def seal_audit(*, now: datetime | None = None) -> int:
    """How many audit events were sealed. Called by the clock; safe to run any number of times at once."""
    now = now or timezone.now()
    sealed = 0
    for team_id in list(
        AuditEvent.objects.filter(seal_number=None).order_by().values_list("team", flat=True).distinct()
    ):
        while batch := _seal_batch(team_id, now):
            sealed += batch
            if batch < SEAL_BATCH:
                break
    return sealed


def _seal_batch(team_id: int, now: datetime) -> int:
    try:
        with transaction.atomic():
            last = AuditSeal.objects.filter(team=team_id).order_by("-last_number").first()
            number, head = (last.last_number, last.head) if last else (0, START)
            rows = []
            for event in AuditEvent.objects.filter(team=team_id, seal_number=None).order_by("pk")[
                :SEAL_BATCH
            ]:
                number, head = number + 1, seal(head, _content(event))
                rows.append((number, head, event.pk))
            if not rows:
                return 0
            with connection.cursor() as cursor:
                cursor.executemany(
                    "UPDATE teams_auditevent SET seal_number = %s, sha256 = %s"
                    " WHERE id = %s AND seal_number IS NULL",
                    rows,
                )
            AuditSeal.objects.create(team_id=team_id, last_number=number, head=head, at=now)
    except IntegrityError:
        # Another sealer was first with these numbers; its work stands.
        return 0
    # The log is a witness outside the database.
    log.info("audit sealed team=%s up_to=%s head=%s", team_id, number, head)
    return len(rows)


def _content(event: AuditEvent) -> dict[str, object]:
    return {
        "id": event.pk,
        "team": event.team_id,
        "actor": event.actor_id,
        "verb": event.verb,
        "target": [event.target_type, event.target_id],
        "fields": event.fields,
        "digests": event.digests,
        "note": event.note,
        "at": event.at.isoformat(),
    }


def verify_chain(team: Team) -> Verdict:
    """Whether the team's sealed record is whole: nothing changed, nothing missing, nothing cut off."""
    heads = dict(AuditSeal.objects.filter(team=team).values_list("last_number", "head"))
    events = AuditEvent.objects.filter(team=team).exclude(seal_number=None).order_by("seal_number")
    links = (Link(e.seal_number or 0, _content(e), e.sha256 or "") for e in events.iterator(chunk_size=1000))
    return walk(links, heads)


def newest_event_id(team: Team) -> int:
    """The id of the team's newest audit event, 0 when there is none."""
    return AuditEvent.objects.filter(team=team).aggregate(newest=Max("pk"))["newest"] or 0


def renew_second_steps() -> int:
    """How many stored secrets of second steps were encrypted anew under the newest of PORTAL_KEYS."""
    renewed = 0
    for pk in Authenticator.objects.values_list("pk", flat=True):
        with transaction.atomic():
            row = Authenticator.objects.select_for_update().get(pk=pk)
            secrets = {name: renew(row.data[name]) for name in ("secret", "seed") if row.data.get(name)}
            if secrets:
                row.data |= secrets
                row.save(update_fields=["data"])
                renewed += 1
    return renewed


def tidy(*, now: datetime | None = None) -> int:
    """How many rows nobody needs any more were deleted: old form keys, ended sessions, old read notices."""
    now = now or timezone.now()
    gone = Press.objects.filter(at__lt=now - PRESS_LIFE).delete()[0]
    gone += Session.objects.filter(expire_date__lt=now).delete()[0]
    gone += Notice.objects.filter(created_at__lt=now - NOTICE_LIFE).exclude(read_at=None).delete()[0]
    return gone
