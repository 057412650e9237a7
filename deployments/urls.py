from django.urls import URLPattern, URLResolver

from decisions.models import UseCase
from deployments.models import (
    DriftCheck,
    Endpoint,
    GatewayToken,
    ModelVersion,
    Prediction,
    Retraining,
    Rollout,
)
from deployments.views import endpoints, predictions, retrainings, rollouts, versions, watching
from foundation.teams.domain.roles import Role
from foundation.teams.routes import object_path, team_path

app_name = "deployments"


def _endpoints() -> object:
    return Endpoint.objects.for_pages()


def _rollouts() -> object:
    return Rollout.objects.for_pages()


def _versions() -> object:
    return ModelVersion.objects.for_pages()


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

shipping_urls: list[URLPattern | URLResolver] = [
    team_path("t/<slug:team>/versions/", versions.version_list, name="version-list"),
    object_path(
        "versions/<int:pk>/", versions.version_detail, ModelVersion, name="version-detail", queryset=_versions
    ),
    object_path(
        "versions/<int:pk>/production/",
        versions.version_promote,
        ModelVersion,
        name="version-promote",
        write=Role.APPROVER,
        queryset=_versions,
    ),
    object_path("use-cases/<int:pk>/register/", versions.version_register, UseCase, name="version-register"),
    object_path(
        "use-cases/<int:pk>/rollback/", versions.use_case_rollback, UseCase, name="use-case-rollback"
    ),
    team_path("t/<slug:team>/rollouts/", rollouts.rollout_list, name="rollout-list"),
    object_path(
        "endpoints/<int:pk>/rollout/",
        rollouts.rollout_create,
        Endpoint,
        name="rollout-create",
        read=Role.EDITOR,
        write=Role.APPROVER,
        queryset=_endpoints,
    ),
    object_path(
        "rollouts/<int:pk>/", rollouts.rollout_detail, Rollout, name="rollout-detail", queryset=_rollouts
    ),
    object_path(
        "rollouts/<int:pk>/move/", rollouts.rollout_move, Rollout, name="rollout-move", queryset=_rollouts
    ),
]


def _predictions() -> object:
    return Prediction.objects.select_related("team", "endpoint__use_case", "version")


prediction_urls: list[URLPattern | URLResolver] = [
    object_path(
        "endpoints/<int:pk>/predictions/",
        predictions.prediction_list,
        Endpoint,
        name="prediction-list",
        queryset=_endpoints,
    ),
    object_path(
        "endpoints/<int:pk>/predictions/add/",
        predictions.prediction_add,
        Endpoint,
        name="prediction-add",
        queryset=_endpoints,
    ),
    object_path(
        "predictions/<uuid:pk>/",
        predictions.prediction_detail,
        Prediction,
        name="prediction-detail",
        queryset=_predictions,
    ),
    object_path(
        "predictions/<uuid:pk>/feedback/",
        predictions.prediction_feedback,
        Prediction,
        name="prediction-feedback",
        queryset=_predictions,
    ),
]


def _drift_checks() -> object:
    return DriftCheck.objects.for_pages()


watching_urls: list[URLPattern | URLResolver] = [
    team_path("t/<slug:team>/watch/", watching.watch_home, name="watch-home"),
    object_path("endpoints/<int:pk>/watch/", watching.watch, Endpoint, name="watch", queryset=_endpoints),
    object_path(
        "endpoints/<int:pk>/watch/check/",
        watching.watch_check,
        Endpoint,
        name="watch-check",
        queryset=_endpoints,
    ),
    object_path(
        "drift/<int:pk>/", watching.drift_detail, DriftCheck, name="drift-detail", queryset=_drift_checks
    ),
]


def _retrainings() -> object:
    return Retraining.objects.for_pages()


retraining_urls: list[URLPattern | URLResolver] = [
    team_path("t/<slug:team>/retrainings/", retrainings.retraining_list, name="retraining-list"),
    object_path(
        "endpoints/<int:pk>/retrain/",
        retrainings.retraining_create,
        Endpoint,
        name="retraining-create",
        queryset=_endpoints,
    ),
    object_path(
        "retrainings/<int:pk>/",
        retrainings.retraining_detail,
        Retraining,
        name="retraining-detail",
        queryset=_retrainings,
    ),
    object_path(
        "retrainings/<int:pk>/approve/",
        retrainings.retraining_approve,
        Retraining,
        name="retraining-approve",
        write=Role.APPROVER,
    ),
    object_path(
        "retrainings/<int:pk>/decline/", retrainings.retraining_decline, Retraining, name="retraining-decline"
    ),
]

urlpatterns: list[URLPattern | URLResolver] = [
    *gateway_urls,
    *shipping_urls,
    *prediction_urls,
    *watching_urls,
    *retraining_urls,
]
