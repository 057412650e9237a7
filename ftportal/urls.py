"""Every address of the portal: each floor's own, gathered."""

from django.contrib import admin
from django.urls import include, path

from foundation.teams.domain.roles import Role
from foundation.teams.routes import public_path, self_path, team_path
from foundation.ui import views as ui
from ftportal.api import api
from ftportal.workspace import demo_remove

# The ui floor stands below the one that knows people, so the roof says whom its pages serve.
ui_patterns = [
    public_path("livez", ui.livez, name="livez"),
    public_path("readyz", ui.readyz, name="readyz"),
    public_path("ui/theme/", ui.theme, name="theme"),
    public_path("ui/shortcuts/", ui.shortcuts, name="shortcuts"),
    self_path("ui/palette/", ui.palette, name="palette"),
    self_path("ui/gallery/", ui.gallery, name="gallery"),
]

roof_patterns = [
    team_path(
        "t/<slug:team>/demo/remove/", demo_remove, name="demo-remove", read=Role.ADMIN, write=Role.ADMIN
    ),
]

urlpatterns = [
    path("", include((ui_patterns, "ui"))),
    path("", include((roof_patterns, "roof"))),
    path("", include("foundation.teams.urls")),
    path("", include("foundation.files.urls")),
    path("", include("foundation.jobs.urls")),
    path("", include("foundation.llm.urls")),
    path("", include("decisions.urls")),
    path("", include("datasets.urls")),
    path("", include("datasets.training.urls")),
    path("", include("evaluations.urls")),
    path("", include("deployments.urls")),
    path("api/v1/", api.urls),
    path("accounts/", include("allauth.urls")),
    path("admin/", admin.site.urls),
]

handler400 = "foundation.ui.errors.handler400"
handler403 = "foundation.ui.errors.handler403"
handler404 = "foundation.ui.errors.handler404"
handler500 = "foundation.ui.errors.handler500"
