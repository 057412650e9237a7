"""The repair room: use cases can be mended, saved answers and evidence only read."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from decisions.models import (
    ActualMonth,
    BlindAnswer,
    BlindRound,
    Decision,
    Evidence,
    RoiAnalysis,
    RoiScenario,
    SignOff,
    UseCase,
)


@admin.register(UseCase)
class UseCaseAdmin(admin.ModelAdmin):
    list_display = ("name", "team", "task_kind", "owner", "latest_decision", "archived_at", "updated_at")
    list_filter = ("task_kind", "team")
    list_select_related = ("team", "owner", "latest_decision")
    search_fields = ("name",)
    readonly_fields = ("version", "latest_decision", "latest_roi", "measured", "created_at", "updated_at")
    raw_id_fields = ("team", "owner")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Never: with a use case its saved answers would go. It is archived instead."""
        return False

    def save_model(self, request: HttpRequest, obj: UseCase, form: Any, change: bool) -> None:
        """A mended fact is a fact that moved: open forms learn of it, and the clock re-scores."""
        if change:
            obj.version += 1
            obj.facts_revision += 1
        super().save_model(request, obj, form, change)


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


@admin.register(RoiScenario)
class RoiScenarioAdmin(admin.ModelAdmin):
    list_display = ("use_case", "name", "latest", "created_by", "archived_at")
    list_filter = ("team",)
    list_select_related = ("use_case", "latest", "created_by")
    readonly_fields = ("team", "use_case", "latest", "created_by", "created_at")

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Never: a scenario begins with its first return."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Never: its returns are saved answers."""
        return False


@admin.register(ActualMonth)
class ActualMonthAdmin(FrozenAdmin):
    date_hierarchy = "month"
    list_display = ("use_case", "month", "n_requests", "serving_microusd", "n_judged", "told_at")
    list_filter = ("team",)
    list_select_related = ("use_case",)


@admin.register(Evidence)
class EvidenceAdmin(FrozenAdmin):
    list_display = ("use_case", "kind", "value", "source", "as_of")
    list_filter = ("kind", "team")
    list_select_related = ("use_case",)


@admin.register(SignOff)
class SignOffAdmin(FrozenAdmin):
    list_display = ("decision", "approver", "is_own", "created_at")
    list_filter = ("team",)
    list_select_related = ("decision", "approver")


@admin.register(BlindRound)
class BlindRoundAdmin(admin.ModelAdmin):
    list_display = ("use_case", "number", "opened_by", "opened_at", "revealed_at")
    list_filter = ("team",)
    list_select_related = ("use_case", "opened_by")
    readonly_fields = ("team", "use_case", "number", "opened_by", "opened_at", "revealed_by", "revealed_at")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Never: a round holds answers that are never changed."""
        return False


@admin.register(BlindAnswer)
class BlindAnswerAdmin(FrozenAdmin):
    list_display = ("round", "author", "created_at")
    list_filter = ("team",)
    list_select_related = ("round", "author")
