"""Addresses of people: home, teams, members, invitations, tokens, the record, inbox, profile."""

from django.urls import URLPattern, URLResolver

from foundation.teams import views
from foundation.teams.domain.roles import Role
from foundation.teams.models import ApiToken, Invitation, Membership, Notice
from foundation.teams.routes import object_path, public_path, self_path, team_path

app_name = "teams"
ADMIN, VIEWER = Role.ADMIN, Role.VIEWER

urlpatterns: list[URLPattern | URLResolver] = [
    self_path("", views.home, name="home"),
    self_path("teams/", views.team_list, name="team-list"),
    self_path("teams/new/", views.team_create, name="team-create"),
    team_path("t/<slug:team>/", views.team_enter, name="enter", write=VIEWER),
    team_path("t/<slug:team>/settings/", views.team_settings, name="settings", write=ADMIN),
    team_path("t/<slug:team>/leave/", views.team_leave, name="leave", write=VIEWER),
    team_path("t/<slug:team>/members/", views.member_list, name="member-list", write=ADMIN),
    object_path(
        "members/<int:pk>/role/", views.member_role, Membership, name="member-role", read=ADMIN, write=ADMIN
    ),
    object_path(
        "members/<int:pk>/remove/",
        views.member_remove,
        Membership,
        name="member-remove",
        read=ADMIN,
        write=ADMIN,
    ),
    team_path(
        "t/<slug:team>/invitations/", views.invitation_list, name="invitation-list", read=ADMIN, write=ADMIN
    ),
    object_path(
        "invitations/<int:pk>/revoke/",
        views.invitation_revoke,
        Invitation,
        name="invitation-revoke",
        read=ADMIN,
        write=ADMIN,
    ),
    public_path("join/<str:secret>/", views.join, name="join"),
    team_path("t/<slug:team>/tokens/", views.token_list, name="token-list", write=VIEWER),
    object_path("tokens/<int:pk>/revoke/", views.token_revoke, ApiToken, name="token-revoke", write=VIEWER),
    team_path("t/<slug:team>/audit/", views.audit_list, name="audit-list", read=ADMIN, write=ADMIN),
    team_path("t/<slug:team>/audit.csv", views.audit_export, name="audit-export", read=ADMIN, write=ADMIN),
    team_path("t/<slug:team>/audit/check/", views.audit_check, name="audit-check", read=ADMIN, write=ADMIN),
    self_path("inbox/", views.inbox, name="inbox"),
    self_path("inbox/read/", views.inbox_read, name="inbox-read"),
    object_path("inbox/<int:pk>/", views.notice_open, Notice, name="notice-open", write=VIEWER),
    self_path("profile/", views.profile, name="profile"),
]
