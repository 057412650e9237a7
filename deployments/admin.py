"""The repair room: everything about live traffic can be looked at; it moves through the services only.

Notes, tags and metadata of a version may be mended: they decide nothing.
"""

from __future__ import annotations

from django.contrib import admin
from django.http import HttpRequest

from deployments import models
from foundation.teams.admin import ReadOnlyAdmin


@admin.register(models.ModelVersion)
class ModelVersionAdmin(admin.ModelAdmin):
    list_display = ("use_case", "number", "name", "created_at")
    list_select_related = ("use_case",)
    fields = (
        "team",
        "use_case",
        "number",
        "candidate",
        "name",
        "notes",
        "tags",
        "metadata",
        "performance",
        "previous",
    )
    readonly_fields = ("team", "use_case", "number", "candidate", "performance", "previous")

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Never: a version is registered from a candidate."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """Never: predictions and rollouts rest on it."""
        return False


@admin.register(models.GatewayToken)
class GatewayTokenAdmin(ReadOnlyAdmin):
    list_display = ("endpoint", "name", "prefix", "created_at", "expires_at", "revoked_at")
    list_select_related = ("endpoint",)
    fields = ("team", "endpoint", "name", "prefix", "created_by", "created_at", "expires_at", "revoked_at")


@admin.register(models.Prediction)
class PredictionAdmin(ReadOnlyAdmin):
    list_display = ("id", "endpoint", "arm", "status", "error", "latency_ms", "at")
    list_select_related = ("endpoint",)
    show_full_result_count = False
    list_per_page = 50


admin.site.register(
    [
        models.Alias,
        models.BudgetDay,
        models.DriftCheck,
        models.DriftReference,
        models.Endpoint,
        models.Feedback,
        models.GatewayBeat,
        models.PerformanceCheck,
        models.Reading,
        models.Retraining,
        models.Rollout,
        models.RolloutEvent,
        models.RoutingRevision,
        models.TrafficChange,
    ],
    ReadOnlyAdmin,
)
