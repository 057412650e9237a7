"""Addresses of evaluating: lists and new ones below their use case or version, a row's address is global."""

from django.urls import URLPattern, URLResolver

from datasets.models import CrossValidation, DatasetVersion
from decisions.models import UseCase
from evaluations.models import Candidate, Comparison, Evaluation
from evaluations.views import evaluations, folds
from foundation.teams.domain.roles import Role
from foundation.teams.routes import object_path, team_path

app_name = "evaluations"


def _versions():
    return DatasetVersion.objects.select_related("team", "dataset__use_case")


def _use_cases():
    return UseCase.objects.select_related("team")


def _evaluations():
    return Evaluation.objects.select_related(
        "team", "use_case", "version__dataset", "candidate__training_run", "candidate__use_case", "job"
    )


def _comparisons():
    return Comparison.objects.select_related("team", "use_case", "version__dataset", "baseline", "created_by")


def _cross_validations():
    return CrossValidation.objects.select_related(
        "team", "use_case", "version__dataset__use_case", "job"
    ).defer("version__report", "version__stats")


def _candidates():
    return Candidate.objects.select_related(
        "team", "use_case", "connection", "version__dataset", "training_run"
    )


urlpatterns: list[URLPattern | URLResolver] = [
    team_path("t/<slug:team>/evaluations/", evaluations.home, name="home"),
    object_path(
        "use-cases/<int:pk>/evaluations/",
        evaluations.evaluation_list,
        UseCase,
        name="evaluation-list",
        queryset=_use_cases,
    ),
    object_path(
        "use-cases/<int:pk>/candidates/new/",
        evaluations.candidate_new,
        UseCase,
        name="candidate-new",
        queryset=_use_cases,
    ),
    object_path(
        "versions/<int:pk>/evaluate/",
        evaluations.evaluation_new,
        DatasetVersion,
        name="evaluation-new",
        queryset=_versions,
    ),
    object_path(
        "candidates/<int:pk>/",
        evaluations.candidate_detail,
        Candidate,
        name="candidate-detail",
        queryset=_candidates,
    ),
    object_path(
        "evaluations/<int:pk>/",
        evaluations.evaluation_detail,
        Evaluation,
        name="evaluation-detail",
        queryset=_evaluations,
    ),
    object_path(
        "evaluations/<int:pk>/retry/",
        evaluations.evaluation_retry,
        Evaluation,
        name="evaluation-retry",
        queryset=_evaluations,
    ),
    # Opening sealed rows writes a look, so it is an editor's act.
    object_path(
        "evaluations/<int:pk>/open/",
        evaluations.evaluation_open,
        Evaluation,
        name="evaluation-open",
        write=Role.EDITOR,
        queryset=_evaluations,
    ),
    object_path(
        "evaluations/<int:pk>/compare/",
        evaluations.comparison_create,
        Evaluation,
        name="comparison-create",
        queryset=_evaluations,
    ),
    object_path(
        "comparisons/<int:pk>/",
        evaluations.comparison_detail,
        Comparison,
        name="comparison-detail",
        queryset=_comparisons,
    ),
    object_path(
        "comparisons/<int:pk>/open/",
        evaluations.comparison_open,
        Comparison,
        name="comparison-open",
        write=Role.EDITOR,
        queryset=_comparisons,
    ),
    object_path(
        "comparisons/<int:pk>/export.<str:form>",
        evaluations.comparison_export,
        Comparison,
        name="comparison-export",
        queryset=_comparisons,
    ),
    object_path(
        "cross-validations/<int:pk>/compare/",
        folds.fold_comparison,
        CrossValidation,
        name="fold-comparison",
        queryset=_cross_validations,
    ),
]
