"""The repair room: use cases can be mended, saved answers and evidence only read."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from decisions.models import Decision, Evidence, RoiAnalysis, UseCase


@admin.register(UseCase)
class UseCaseAdmin(admin.ModelAdmin):
    list_display = ("name", "team", "task_kind", "owner", "latest_decision", "archived_at", "updated_at")
    list_filter = ("task_kind", "team")
    list_select_related = ("team", "owner", "latest_decision")
    search_fields = ("name",)
    readonly_fields = ("version", "latest_decision", "latest_roi", "measured", "created_at", "updated_at")
    raw_id_fields = ("team", "owner")


class FrozenAdmin(admin.ModelAdmin):
    """Rows that are read and never written, by nobody."""

    date_hierarchy = "created_at"

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Never: the services write these rows."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Never: a saved answer does not change."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Never: a saved answer goes only with its team."""
        return False


@admin.register(Decision)
class DecisionAdmin(FrozenAdmin):
    list_display = ("use_case", "number", "recommendation", "headline", "author", "created_at")
    list_filter = ("recommendation", "team")
    list_select_related = ("use_case", "author")


@admin.register(RoiAnalysis)
class RoiAnalysisAdmin(FrozenAdmin):
    list_display = ("use_case", "number", "headline", "is_measured", "author", "created_at")
    list_filter = ("is_measured", "team")
    list_select_related = ("use_case", "author")


@admin.register(Evidence)
class EvidenceAdmin(FrozenAdmin):
    list_display = ("use_case", "kind", "value", "source", "as_of")
    list_filter = ("kind", "team")
    list_select_related = ("use_case",)
