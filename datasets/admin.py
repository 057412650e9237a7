"""The repair room: datasets, notes and reviews can be mended; rows, findings, versions and looks are only read."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from datasets.models import (
    BadRow,
    Bindings,
    CheckPart,
    CheckRun,
    Content,
    CrossValidation,
    Dataset,
    DatasetGate,
    DatasetVersion,
    Edit,
    Example,
    ExportCheck,
    Finding,
    FindingRow,
    Fix,
    FixedRow,
    FoldAnswer,
    FoldRun,
    Import,
    Judgement,
    LabelChange,
    Look,
    QualityRun,
    Reading,
    Review,
    ReviewItem,
    SealedDigests,
    TrainingRun,
    VersionDiff,
    VersionRow,
)


@admin.register(Dataset)
class DatasetAdmin(admin.ModelAdmin):
    list_display = ("name", "team", "use_case", "n_active", "archived_at", "created_at")
    list_select_related = ("team", "use_case")
    list_filter = ("team",)
    search_fields = ("name",)
    # Counts follow from rows; the services keep them.
    readonly_fields = (
        "team",
        "use_case",
        "n_active",
        "n_dropped",
        "n_rejected",
        "label_counts",
        "revision",
        "checks",
    )
    raw_id_fields = ("created_by",)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Never: frozen versions rest on it. Archive it instead."""
        return False


class EvidenceAdmin(admin.ModelAdmin):
    """Rows that are read and never written by hand. Large tables: no total counts, related rows by number."""

    show_full_result_count = False
    list_per_page = 50

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Never: the services write these rows."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Never: evidence stays as it is."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Never: evidence goes only with its team."""
        return False


@admin.register(DatasetVersion)
class DatasetVersionAdmin(admin.ModelAdmin):
    list_display = ("dataset", "number", "state", "n_rows", "frozen_at")
    list_select_related = ("dataset",)
    list_filter = ("state", "team")
    # Notes and tags are all that may change.
    fields = (
        "dataset",
        "number",
        "state",
        "checksum",
        "n_rows",
        "override_reason",
        "recipe",
        "report",
        "notes",
        "tags",
    )
    readonly_fields = (
        "dataset",
        "number",
        "state",
        "checksum",
        "n_rows",
        "override_reason",
        "recipe",
        "report",
    )

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Never: a version is frozen by its job."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Never: runs and evaluations rest on it."""
        return False


@admin.register(Import)
class ImportAdmin(EvidenceAdmin):
    list_display = ("name", "dataset", "state", "n_good", "n_bad", "created_at")
    list_select_related = ("dataset",)
    list_filter = ("state", "team")


@admin.register(Example)
class ExampleAdmin(EvidenceAdmin):
    list_display = ("id", "dataset_id", "line", "state", "review", "label")
    list_select_related = False


@admin.register(Content)
class ContentAdmin(EvidenceAdmin):
    list_display = ("id", "team_id", "n_chars", "erased_at")
    list_select_related = False
    exclude = ("digest",)


@admin.register(VersionRow)
class VersionRowAdmin(EvidenceAdmin):
    list_display = ("id", "version_id", "split", "position", "label")
    list_select_related = False


@admin.register(ExportCheck)
class ExportCheckAdmin(EvidenceAdmin):
    list_display = ("version", "finished_at")
    list_select_related = ("version__dataset",)


@admin.register(Judgement)
class JudgementAdmin(EvidenceAdmin):
    list_display = ("id", "run_id", "example_id", "state", "overall", "unscored")
    list_select_related = False


@admin.register(Finding)
class FindingAdmin(EvidenceAdmin):
    list_display = ("headline", "dataset", "rule", "severity", "n_rows")
    list_select_related = ("dataset",)
    list_filter = ("rule", "severity")


@admin.register(Fix)
class FixAdmin(EvidenceAdmin):
    list_display = ("rule", "action", "dataset", "n_rows", "by", "at", "undone_at")
    list_select_related = ("dataset", "by")


@admin.register(Look)
class LookAdmin(EvidenceAdmin):
    list_display = ("version", "by", "reason", "at")
    list_select_related = ("version__dataset", "by")


@admin.register(LabelChange)
class LabelChangeAdmin(EvidenceAdmin):
    list_display = ("dataset", "from_label", "to_label", "n_rows", "by", "at", "undone_at")
    list_select_related = ("dataset", "by")


@admin.register(DatasetGate)
class DatasetGateAdmin(EvidenceAdmin):
    list_display = ("team", "changed_by", "changed_at")
    list_select_related = ("team", "changed_by")


@admin.register(Review)
class ReviewAdmin(EvidenceAdmin):
    list_display = ("dataset", "n_total", "n_accepted", "n_edited", "n_rejected", "created_at")
    list_select_related = ("dataset",)


admin.site.register(
    [BadRow, CheckRun, Edit, FindingRow, FixedRow, QualityRun, Reading, ReviewItem, VersionDiff],
    EvidenceAdmin,
)


@admin.register(Bindings)
class BindingsAdmin(EvidenceAdmin):
    list_display = ("run",)
    exclude = ("data",)


@admin.register(SealedDigests)
class SealedDigestsAdmin(EvidenceAdmin):
    list_display = ("version",)
    exclude = ("data", "loose")


@admin.register(CheckPart)
class CheckPartAdmin(EvidenceAdmin):
    list_display = ("job", "position")
    exclude = ("data",)


@admin.register(TrainingRun)
class TrainingRunAdmin(EvidenceAdmin):
    list_display = ("use_case", "number", "backend", "state", "seconds", "cost_microusd", "created_at")
    list_select_related = ("use_case",)
    list_filter = ("backend", "state")


@admin.register(CrossValidation)
class CrossValidationAdmin(EvidenceAdmin):
    list_display = ("use_case", "number", "backend", "state", "n_folds", "n_rows", "created_at")
    list_select_related = ("use_case",)
    list_filter = ("backend", "state")


@admin.register(FoldRun)
class FoldRunAdmin(EvidenceAdmin):
    list_display = ("cross_validation_id", "fold", "state", "n_train", "n_held")
    list_select_related = False


@admin.register(FoldAnswer)
class FoldAnswerAdmin(EvidenceAdmin):
    list_display = ("id", "cross_validation_id", "fold", "is_right")
    list_select_related = False
