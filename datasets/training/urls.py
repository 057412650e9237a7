"""Addresses of training: the runs of a use case, a new run on a version, one run."""

from django.urls import URLPattern, URLResolver

from datasets.models import DatasetVersion, TrainingRun
from datasets.training import views
from decisions.models import UseCase
from foundation.teams.routes import object_path

app_name = "training"


def _runs():
    return TrainingRun.objects.select_related("team", "use_case", "version__dataset", "job", "created_by")


def _versions():
    return DatasetVersion.objects.select_related("team", "dataset__use_case")


urlpatterns: list[URLPattern | URLResolver] = [
    object_path("use-cases/<int:pk>/training/", views.run_list, UseCase, name="run-list"),
    object_path(
        "versions/<int:pk>/train/", views.run_new, DatasetVersion, name="run-new", queryset=_versions
    ),
    object_path("training/<int:pk>/", views.run_detail, TrainingRun, name="run-detail", queryset=_runs),
    object_path("training/<int:pk>/retry/", views.run_retry, TrainingRun, name="run-retry", queryset=_runs),
]
