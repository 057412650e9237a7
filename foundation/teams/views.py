"""Pages about people. Each view is called only for people its route lets in."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from datetime import timedelta
from io import StringIO

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from foundation.teams import services
from foundation.teams.adapters import SESSION_KEY
from foundation.teams.domain.csv_cells import safe_cell
from foundation.teams.domain.roles import Role
from foundation.teams.errors import BadInput, BadInvitation, Conflict, PortalError
from foundation.teams.forms import (
    ROLE_HELP,
    AuditFilterForm,
    InvitationForm,
    ProfileForm,
    RenameForm,
    RoleForm,
    TeamForm,
    TokenForm,
)
from foundation.teams.looks import remember_theme
from foundation.teams.models import ApiToken, AuditEvent, Invitation, Membership, Notice, Team
from foundation.teams.policies import can_create_team, check_can_create_team, check_can_revoke_token
from foundation.teams.presses import once
from foundation.teams.settings_hub import settings_links
from foundation.ui.downloads import Download
from foundation.ui.navigation import team_url

PAGE_SIZE = 50
# A form sent again may show its secret again, but not the next day from somebody's browser history.
SHOW_SECRET_FOR = timedelta(minutes=10)


def _first_page(team: Team) -> str:
    url = team_url(team.slug)
    return url if url != "/" else reverse("teams:settings", args=[team.slug])


def _put(form: object, error: PortalError) -> None:
    """Put the sentence where the person looks: at its field, else above the form."""
    field = getattr(error, "field", "")
    form.add_error(field if field in form.fields else None, str(error))  # type: ignore[attr-defined]


# --- home and teams -----------------------------------------------------------------------------------------


@require_GET
def home(request: HttpRequest) -> HttpResponse:
    """The way to the team last visited; a page that says what to do for somebody who is in none."""
    if request.team is not None:
        return redirect(_first_page(request.team))
    may = can_create_team(request.user, request.teams)
    return render(request, "teams/team_none.html", {"may_create": may, "form": TeamForm() if may else None})


@require_GET
def team_list(request: HttpRequest) -> HttpResponse:
    """The person's teams, each with its role and its door."""
    return render(
        request,
        "teams/team_list.html",
        {"pairs": list(request.teams), "may_create": can_create_team(request.user, request.teams)},
    )


@require_GET
def team_enter(request: HttpRequest, team: Team) -> HttpResponse:
    """The way to the team's first page; from now on home leads there."""
    return redirect(_first_page(team))


def team_create(request: HttpRequest) -> HttpResponse:
    """The form for a new team, and its making."""
    check_can_create_team(request.user, request.teams)
    form = TeamForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            team, _ = once(
                user=request.user,
                press=form.cleaned_data["press"],
                purpose="team",
                model=Team,
                make=lambda: services.create_team(actor=request.user, name=form.cleaned_data["name"]),
            )
            return redirect(_first_page(team))
        except BadInput as error:
            _put(form, error)
    return render(request, "teams/team_form.html", {"form": form})


def team_settings(request: HttpRequest, team: Team) -> HttpResponse:
    """The hub of everything that is set for a team; an admin renames it here."""
    form = RenameForm(request.POST if request.method == "POST" else None, initial={"name": team.name})
    if request.method == "POST" and form.is_valid():
        try:
            services.rename_team(actor=request.user, team=team, name=form.cleaned_data["name"])
            messages.success(request, f"The team is now called {team}.")
            return redirect("teams:settings", team.slug)
        except BadInput as error:
            _put(form, error)
    links = settings_links(team, request.role)
    return render(request, "teams/team_settings.html", {"form": form, "links": links})


def team_leave(request: HttpRequest, team: Team) -> HttpResponse:
    """Asks once more, then takes the person out of the team."""
    membership = Membership.objects.of(team).visible_to(request.user).filter(user=request.user).first()
    if membership is None:
        messages.info(request, f"You are not a member of {team}.")
        return redirect("teams:team-list")
    if request.method == "POST":
        services.remove_member(actor=request.user, membership=membership)
        messages.success(request, f"You have left {team}.")
        return redirect("teams:home")
    return render(request, "teams/team_leave.html", {"membership": membership})


# --- members ------------------------------------------------------------------------------------------------


@require_GET
def member_list(request: HttpRequest, team: Team) -> HttpResponse:
    """Who is in the team, with which role; an admin changes it here."""
    members = Membership.objects.of(team).select_related("user").order_by("-role", "user__name", "pk")
    rows = [(member, Role(member.role)) for member in members]
    help_lines = [(role, ROLE_HELP[role].capitalize() + ".") for role in Role]
    return render(
        request,
        "teams/member_list.html",
        {"rows": rows, "role_choices": list(Role), "role_help": help_lines},
    )


@require_POST
def member_role(request: HttpRequest, membership: Membership) -> HttpResponse:
    """Gives a member another role."""
    form = RoleForm(request.POST)
    if not form.is_valid():
        raise BadInput("Choose one of the four roles.", field="role")
    try:
        services.change_role(actor=request.user, membership=membership, role=form.cleaned_data["role"])
        messages.success(request, f"{membership.user} is now {form.cleaned_data['role'].label.lower()}.")
    except Conflict as error:
        messages.error(request, str(error))
    return redirect("teams:member-list", membership.team.slug)


def member_remove(request: HttpRequest, membership: Membership) -> HttpResponse:
    """Asks once more, then takes a member out of the team."""
    if request.method == "POST":
        person = membership.user
        try:
            services.remove_member(actor=request.user, membership=membership)
            messages.success(request, f"{person} is no longer in {membership.team}.")
        except Conflict as error:
            messages.error(request, str(error))
        return redirect("teams:member-list", membership.team.slug)
    return render(request, "teams/member_remove.html", {"membership": membership})


# --- invitations --------------------------------------------------------------------------------------------


@never_cache
def invitation_list(request: HttpRequest, team: Team) -> HttpResponse:
    """The team's invitations; a new one is made here and its link shown, this once."""
    form = InvitationForm(request.POST if request.method == "POST" else None)
    link, invitation, is_sent = "", None, False
    if request.method == "POST" and form.is_valid():
        try:
            invitation, secret = services.invite(
                actor=request.user,
                team=team,
                role=form.cleaned_data["role"],
                email=form.cleaned_data["email"],
                press=form.cleaned_data["press"],
            )
            if timezone.now() - invitation.created_at < SHOW_SECRET_FOR:
                link = _absolute(request, reverse("teams:join", args=[secret]))
                is_sent = services.send_invitation(invitation=invitation, link=link)
            form = InvitationForm()
        except (BadInput, Conflict) as error:
            _put(form, error)
    now = timezone.now()
    rows = Invitation.objects.of(team).select_related("created_by", "accepted_by").order_by("-id")[:PAGE_SIZE]
    return render(
        request,
        "teams/invitation_list.html",
        {
            "form": form,
            "link": link,
            "made": invitation,
            "is_sent": is_sent,
            "rows": [(row, Role(row.role), _invitation_state(row, now)) for row in rows],
        },
    )


def _invitation_state(invitation: Invitation, now: object) -> str:
    if invitation.accepted_at:
        return "used"
    if invitation.revoked_at:
        return "taken back"
    return "open" if invitation.expires_at > now else "too old"


def _absolute(request: HttpRequest, path: str) -> str:
    return settings.PORTAL_URL.rstrip("/") + path if settings.PORTAL_URL else request.build_absolute_uri(path)


@require_POST
def invitation_revoke(request: HttpRequest, invitation: Invitation) -> HttpResponse:
    """Takes an invitation back."""
    services.revoke_invitation(actor=request.user, invitation=invitation)
    messages.success(request, "The link no longer works.")
    return redirect("teams:invitation-list", invitation.team.slug)


@never_cache
def join(request: HttpRequest, secret: str) -> HttpResponse:
    """Where an invitation's link leads: join when signed in, else sign in or make an account."""
    try:
        invitation = services.find_invitation(secret=secret)
    except BadInvitation as error:
        return render(request, "teams/join_closed.html", {"reason": str(error)}, status=error.status)
    reason = ""
    if request.method == "POST" and request.user.is_authenticated:
        try:
            services.accept_invitation(user=request.user, secret=secret)
            messages.success(request, f"Welcome to {invitation.team}.")
            return redirect("teams:enter", invitation.team.slug)
        except (BadInvitation, Conflict) as error:
            reason = str(error)
    if not request.user.is_authenticated:
        request.session[SESSION_KEY] = invitation.token_sha256
    return render(
        request,
        "teams/join.html",
        {"invitation": invitation, "invited_as": Role(invitation.role), "reason": reason},
    )


# --- API tokens ---------------------------------------------------------------------------------------------


@never_cache
def token_list(request: HttpRequest, team: Team) -> HttpResponse:
    """The person's API tokens (an admin sees all); a new one is made here and shown, this once."""
    form = TokenForm(request.POST if request.method == "POST" else None, role=request.role)
    text, made = "", None
    if request.method == "POST" and form.is_valid():
        try:
            made, text = services.issue_token(
                actor=request.user,
                team=team,
                role=request.role,
                name=form.cleaned_data["name"],
                scope=form.cleaned_data["scope"],
                days=form.cleaned_data["days"],
                press=form.cleaned_data["press"],
            )
            if timezone.now() - made.created_at >= SHOW_SECRET_FOR:
                text = ""
            form = TokenForm(role=request.role)
        except BadInput as error:
            _put(form, error)
    tokens = ApiToken.objects.of(team).select_related("user").order_by("-id")
    if request.role < Role.ADMIN:
        tokens = tokens.filter(user=request.user)
    now = timezone.now()
    rows = [
        (t, "revoked" if t.revoked_at else "live" if t.expires_at > now else "ended") for t in tokens[:200]
    ]
    return render(request, "teams/token_list.html", {"form": form, "text": text, "made": made, "rows": rows})


@require_POST
def token_revoke(request: HttpRequest, token: ApiToken) -> HttpResponse:
    """Ends a token now."""
    check_can_revoke_token(request.user, request.role, token)
    services.revoke_token(actor=request.user, token=token)
    messages.success(request, f"The token “{token.name}” no longer works.")
    return redirect("teams:token-list", token.team.slug)


# --- the record ---------------------------------------------------------------------------------------------


@require_GET
def audit_list(request: HttpRequest, team: Team) -> HttpResponse:
    """Who changed what, newest first, by verb and by person."""
    form = AuditFilterForm(request.GET)
    chosen = form.cleaned_data if form.is_valid() else {}
    verb, actor_id = chosen.get("verb") or "", chosen.get("actor")
    found = AuditEvent.objects.of(team).matching(verb=verb, actor_id=actor_id).before(chosen.get("before"))
    events = list(found[: PAGE_SIZE + 1])
    return render(
        request,
        "teams/audit_list.html",
        {
            "events": events[:PAGE_SIZE],
            "older": events[PAGE_SIZE - 1].pk if len(events) > PAGE_SIZE else None,
            "is_first": chosen.get("before") is None,
            "verb": verb,
            "actor_id": actor_id,
            "nouns": sorted({name.split(".")[0] for name in AuditEvent.objects.of(team).verbs()}),
            "members": Membership.objects.of(team).select_related("user").order_by("user__name", "pk"),
        },
    )


@require_GET
def audit_export(request: HttpRequest, team: Team) -> Download:
    """The same events as CSV, every one of them, safe to open in a spreadsheet."""
    form = AuditFilterForm(request.GET)
    chosen = form.cleaned_data if form.is_valid() else {}
    found = AuditEvent.objects.of(team).matching(verb=chosen.get("verb") or "", actor_id=chosen.get("actor"))
    response = Download(_audit_csv(found.before(None)), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="audit-{team.slug}.csv"'
    return response


def _audit_csv(events: object) -> Iterator[str]:
    line = StringIO()
    writer = csv.writer(line)
    writer.writerow(
        ["id", "at", "actor_id", "actor", "verb", "target", "fields", "digests", "note", "seal", "sha256"]
    )
    for event in events.iterator(chunk_size=1000):  # type: ignore[attr-defined]
        cells = [
            event.pk,
            event.at.isoformat(),
            event.actor_id,
            event.actor,
            event.verb,
            f"{event.target_type} {event.target_id}".strip(),
            " ".join(event.fields),
            " ".join(f"{name}:{digest}" for name, digest in event.digests.items()),
            event.note,
            event.seal_number,
            event.sha256,
        ]
        writer.writerow([safe_cell(cell) for cell in cells])
        if line.tell() > 65536:
            yield line.getvalue()
            line.seek(0)
            line.truncate()
    yield line.getvalue()


@require_POST
def audit_check(request: HttpRequest, team: Team) -> HttpResponse:
    """Walks the chain of seals and says whether the record is whole."""
    verdict = services.verify_chain(team)
    say = messages.success if verdict.broken_at is None else messages.error
    say(request, verdict.sentence)
    return redirect("teams:audit-list", team.slug)


# --- inbox and profile --------------------------------------------------------------------------------------


@require_GET
def inbox(request: HttpRequest) -> HttpResponse:
    """The person's notices, newest first."""
    form = AuditFilterForm(request.GET)
    before = form.cleaned_data.get("before") if form.is_valid() else None
    notices = list(Notice.objects.visible_to(request.user).before(before)[: PAGE_SIZE + 1])
    older = notices[PAGE_SIZE - 1].pk if len(notices) > PAGE_SIZE else None
    return render(request, "teams/inbox.html", {"notices": notices[:PAGE_SIZE], "older": older})


@require_POST
def inbox_read(request: HttpRequest) -> HttpResponse:
    """Marks the named notice as read, or all of them."""
    one = request.POST.get("notice", "")
    services.mark_read(user=request.user, notices=[int(one)] if one.isascii() and one.isdigit() else None)
    return redirect("teams:inbox")


@require_GET
def notice_open(request: HttpRequest, notice: Notice) -> HttpResponse:
    """Marks the notice as read and leads to what it is about."""
    services.mark_read(user=request.user, notices=[notice.pk])
    return HttpResponseRedirect(notice.url or reverse("teams:inbox"))


def profile(request: HttpRequest) -> HttpResponse:
    """The person's name and looks, and the ways to their sign-in settings."""
    form = ProfileForm(request.POST if request.method == "POST" else None, instance=request.user)
    if request.method == "POST" and form.is_valid():
        services.update_profile(actor=request.user, **form.cleaned_data)
        messages.success(request, "Saved.")
        response = redirect("teams:profile")
        remember_theme(response, request.user.theme)
        return response
    return render(request, "teams/profile.html", {"form": form})
