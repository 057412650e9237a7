"""Addresses of preparing data. Lists and creates carry the team's slug; a row's address is global."""

from django.http import HttpResponse
from django.urls import URLPattern, URLResolver

from datasets.models import Dataset, DatasetVersion, Import
from foundation.teams.routes import object_path


def _soon(request, row):
    return HttpResponse(status=204)


app_name = "datasets"
urlpatterns: list[URLPattern | URLResolver] = [
    object_path("datasets/<int:pk>/", _soon, Dataset, name="dataset-detail"),
    object_path("imports/<int:pk>/", _soon, Import, name="import-detail"),
    object_path("versions/<int:pk>/", _soon, DatasetVersion, name="version-detail"),
]
