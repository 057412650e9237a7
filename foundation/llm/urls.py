"""Addresses of connections and of the catalogue."""

from django.urls import URLPattern, URLResolver

from foundation.llm import views
from foundation.llm.models import Connection
from foundation.teams.domain.roles import Role
from foundation.teams.routes import object_path, team_path

app_name = "llm"
ADMIN = Role.ADMIN

urlpatterns: list[URLPattern | URLResolver] = [
    team_path(
        "t/<slug:team>/settings/connections/", views.connection_list, name="connection-list", write=ADMIN
    ),
    team_path(
        "t/<slug:team>/settings/connections/new/",
        views.connection_create,
        name="connection-new",
        read=ADMIN,
        write=ADMIN,
    ),
    object_path(
        "connections/<int:pk>/", views.connection_detail, Connection, name="connection-detail", write=ADMIN
    ),
    object_path(
        "connections/<int:pk>/try/", views.connection_try, Connection, name="connection-try", write=ADMIN
    ),
    object_path(
        "connections/<int:pk>/remove/",
        views.connection_remove,
        Connection,
        name="connection-remove",
        read=ADMIN,
        write=ADMIN,
    ),
    team_path("t/<slug:team>/settings/models/", views.model_list, name="model-list", write=ADMIN),
]
