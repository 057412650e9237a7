"""The repair room. Evidence is read here, never written."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from evaluations.models import Candidate, Comparison, Evaluation, Result, TestLook


class ReadOnly(admin.ModelAdmin):
    """Rows that are evidence: seen by whom may, changed by nobody."""

    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Nobody adds evidence by hand."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody changes evidence."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Evidence goes only with its team."""
        return False


@admin.register(Candidate)
class CandidateAdmin(ReadOnly):
    list_display = ("name", "kind", "use_case", "model_id", "created_at", "archived_at")
    list_filter = ("kind",)
    list_select_related = ("use_case",)
    search_fields = ("name", "digest")


@admin.register(Evaluation)
class EvaluationAdmin(ReadOnly):
    list_display = ("id", "candidate", "version", "split", "state", "score", "n_rows", "created_at")
    list_filter = ("state", "split", "is_claim")
    list_select_related = ("candidate", "version__dataset")


@admin.register(Result)
class ResultAdmin(ReadOnly):
    list_display = ("id", "evaluation_id", "position", "state", "score", "unscored")
    list_filter = ("state",)
    raw_id_fields = ("evaluation", "row", "content", "job")


@admin.register(Comparison)
class ComparisonAdmin(ReadOnly):
    list_display = ("name", "use_case", "split", "state", "verdict", "look_number", "created_at")
    list_filter = ("state", "verdict", "split")
    list_select_related = ("use_case",)


@admin.register(TestLook)
class TestLookAdmin(ReadOnly):
    list_display = ("version", "kind", "number", "reason", "by", "at")
    list_filter = ("kind",)
    list_select_related = ("version__dataset", "by")
