"""Addresses of training: the runs of a use case, a new run on a version, one run."""

from django.urls import URLPattern, URLResolver

from datasets.models import CrossValidation, DatasetVersion, TrainingRun
from datasets.training.views import folds, runs
from decisions.models import UseCase
from foundation.teams.routes import object_path

app_name = "training"


def _runs():
    return TrainingRun.objects.select_related("team", "use_case", "version__dataset", "job", "created_by")


def _folds():
    return CrossValidation.objects.select_related(
        "team", "use_case", "version__dataset__use_case", "job", "created_by", "final_run"
    )


def _versions():
    return DatasetVersion.objects.select_related("team", "dataset__use_case")


urlpatterns: list[URLPattern | URLResolver] = [
    object_path("use-cases/<int:pk>/training/", runs.run_list, UseCase, name="run-list"),
    object_path("versions/<int:pk>/train/", runs.run_new, DatasetVersion, name="run-new", queryset=_versions),
    object_path("training/<int:pk>/", runs.run_detail, TrainingRun, name="run-detail", queryset=_runs),
    object_path("training/<int:pk>/retry/", runs.run_retry, TrainingRun, name="run-retry", queryset=_runs),
    object_path(
        "cross-validations/<int:pk>/",
        folds.cross_validation_detail,
        CrossValidation,
        name="cross-validation-detail",
        queryset=_folds,
    ),
    object_path(
        "cross-validations/<int:pk>/retry/",
        folds.cross_validation_retry,
        CrossValidation,
        name="cross-validation-retry",
        queryset=_folds,
    ),
    object_path(
        "cross-validations/<int:pk>/final/",
        folds.cross_validation_final,
        CrossValidation,
        name="cross-validation-final",
        queryset=_folds,
    ),
    object_path(
        "cross-validations/<int:pk>/export.<str:form>",
        folds.cross_validation_export,
        CrossValidation,
        name="cross-validation-export",
        queryset=_folds,
    ),
]
