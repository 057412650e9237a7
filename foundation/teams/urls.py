"""Addresses of people: home, teams, members, invitations, tokens, audit, inbox, profile."""

from django.urls import URLPattern, URLResolver

from foundation.teams import views
from foundation.teams.routes import self_path

app_name = "teams"
urlpatterns: list[URLPattern | URLResolver] = [
    self_path("", views.home, name="home"),
]
