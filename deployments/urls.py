from django.urls import URLPattern, URLResolver

from deployments.models import Endpoint, GatewayToken
from deployments.views import endpoints
from foundation.teams.domain.roles import Role
from foundation.teams.routes import object_path, team_path

app_name = "deployments"


def _endpoints() -> object:
    return Endpoint.objects.for_pages()


gateway_urls: list[URLPattern | URLResolver] = [
    team_path("t/<slug:team>/endpoints/", endpoints.endpoint_list, name="endpoint-list"),
    team_path(
        "t/<slug:team>/endpoints/new/", endpoints.endpoint_create, name="endpoint-create", read=Role.EDITOR
    ),
    object_path(
        "endpoints/<int:pk>/",
        endpoints.endpoint_detail,
        Endpoint,
        name="endpoint-detail",
        queryset=_endpoints,
    ),
    object_path(
        "endpoints/<int:pk>/edit/", endpoints.endpoint_edit, Endpoint, name="endpoint-edit", read=Role.EDITOR
    ),
    object_path(
        "endpoints/<int:pk>/tokens/",
        endpoints.endpoint_tokens,
        Endpoint,
        name="endpoint-tokens",
        read=Role.EDITOR,
    ),
    object_path("endpoints/<int:pk>/switch/", endpoints.endpoint_switch, Endpoint, name="endpoint-switch"),
    object_path("endpoints/<int:pk>/archive/", endpoints.endpoint_archive, Endpoint, name="endpoint-archive"),
    object_path("gateway-tokens/<int:pk>/revoke/", endpoints.token_revoke, GatewayToken, name="token-revoke"),
]

urlpatterns: list[URLPattern | URLResolver] = [*gateway_urls]
