"""The address files are fetched from."""

from django.urls import URLPattern, URLResolver

from foundation.files import views
from foundation.files.models import Blob
from foundation.teams.domain.roles import Role
from foundation.teams.routes import object_path

app_name = "files"
urlpatterns: list[URLPattern | URLResolver] = [
    object_path(
        "files/<int:pk>/download/", views.blob_download, Blob, name="blob-download", read=Role.VIEWER
    ),
]
