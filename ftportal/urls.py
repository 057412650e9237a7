"""Every address of the portal: each floor's own, gathered."""

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("", include("foundation.ui.urls")),
    path("", include("foundation.teams.urls")),
    path("", include("foundation.files.urls")),
    path("", include("foundation.jobs.urls")),
    path("", include("foundation.llm.urls")),
    path("", include("decisions.urls")),
    path("", include("datasets.urls")),
    path("", include("evaluations.urls")),
    path("", include("deployments.urls")),
    path("accounts/", include("allauth.urls")),
    path("admin/", admin.site.urls),
]
