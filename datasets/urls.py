"""Addresses of preparing data. Lists and creates carry the team's slug; a row's address is global."""

from django.urls import URLPattern, URLResolver

from datasets.models import (
    Dataset,
    DatasetVersion,
    Edit,
    Example,
    Finding,
    Fix,
    Import,
    LabelChange,
    QualityRun,
    Review,
)
from datasets.views import (
    checks,
    datasets,
    examples,
    exports,
    imports,
    quality,
    reviews,
    versions,
    writing,
)
from decisions.models import UseCase
from foundation.teams.domain.roles import Role
from foundation.teams.routes import object_path, team_path

app_name = "datasets"


def _dataset() -> object:
    return Dataset.objects.select_related("team", "use_case", "checks")


def _import() -> object:
    return Import.objects.select_related(
        "team", "dataset__team", "dataset__use_case", "blob", "job", "repeats"
    )


def _example() -> object:
    return Example.objects.shown().select_related(
        "team", "content", "source", "dataset__team", "dataset__use_case", "dataset__checks"
    )


def _finding() -> object:
    return Finding.objects.select_related(
        "team", "run", "dataset__team", "dataset__use_case", "dataset__checks"
    )


def _review() -> object:
    return Review.objects.select_related("team", "dataset__team", "dataset__use_case", "dataset__checks")


def _quality() -> object:
    return QualityRun.objects.select_related(
        "team", "job", "dataset__team", "dataset__use_case", "dataset__checks"
    )


def _version() -> object:
    return DatasetVersion.objects.select_related(
        "team", "job", "created_by", "dataset__team", "dataset__use_case"
    )


urlpatterns: list[URLPattern | URLResolver] = [
    team_path("t/<slug:team>/datasets/", datasets.dataset_list, name="dataset-list"),
    team_path(
        "t/<slug:team>/datasets/new/", datasets.dataset_create, name="dataset-create", read=Role.EDITOR
    ),
    object_path(
        "datasets/<int:pk>/", datasets.dataset_detail, Dataset, name="dataset-detail", queryset=_dataset
    ),
    object_path(
        "datasets/<int:pk>/edit/",
        datasets.dataset_edit,
        Dataset,
        name="dataset-edit",
        read=Role.EDITOR,
        queryset=_dataset,
    ),
    object_path(
        "datasets/<int:pk>/archive/",
        datasets.dataset_archive,
        Dataset,
        name="dataset-archive",
        queryset=_dataset,
    ),
    object_path(
        "datasets/<int:pk>/check/", datasets.dataset_check, Dataset, name="dataset-check", queryset=_dataset
    ),
    object_path(
        "datasets/<int:pk>/import/",
        imports.import_create,
        Dataset,
        name="import-create",
        read=Role.EDITOR,
        queryset=_dataset,
    ),
    object_path("imports/<int:pk>/", imports.import_detail, Import, name="import-detail", queryset=_import),
    object_path(
        "imports/<int:pk>/preview/", imports.import_preview, Import, name="import-preview", queryset=_import
    ),
    object_path(
        "imports/<int:pk>/start/", imports.import_start, Import, name="import-start", queryset=_import
    ),
    object_path(
        "imports/<int:pk>/discard/", imports.import_discard, Import, name="import-discard", queryset=_import
    ),
    object_path(
        "imports/<int:pk>/bad-rows.csv",
        imports.import_bad_rows,
        Import,
        name="import-bad-rows",
        queryset=_import,
    ),
    object_path(
        "datasets/<int:pk>/examples/", examples.example_list, Dataset, name="example-list", queryset=_dataset
    ),
    object_path(
        "examples/<int:pk>/", examples.example_detail, Example, name="example-detail", queryset=_example
    ),
    object_path(
        "examples/<int:pk>/edit/", examples.example_edit, Example, name="example-edit", queryset=_example
    ),
    object_path(
        "examples/<int:pk>/state/", examples.example_state, Example, name="example-state", queryset=_example
    ),
    object_path(
        "edits/<int:pk>/undo/",
        examples.edit_undo,
        Edit,
        name="edit-undo",
        queryset=lambda: Edit.objects.select_related("team", "example"),
    ),
    object_path(
        "findings/<int:pk>/", examples.finding_detail, Finding, name="finding-detail", queryset=_finding
    ),
    object_path(
        "findings/<int:pk>/fix/", examples.finding_fix, Finding, name="finding-fix", queryset=_finding
    ),
    object_path("datasets/<int:pk>/report/", checks.report, Dataset, name="report", queryset=_dataset),
    object_path(
        "datasets/<int:pk>/report.csv", checks.report_csv, Dataset, name="report-csv", queryset=_dataset
    ),
    object_path(
        "datasets/<int:pk>/wrong-labels/", checks.noise_start, Dataset, name="noise-start", queryset=_dataset
    ),
    object_path("datasets/<int:pk>/labels/", checks.label_list, Dataset, name="labels", queryset=_dataset),
    object_path(
        "label-changes/<int:pk>/undo/",
        checks.label_undo,
        LabelChange,
        name="label-undo",
        queryset=lambda: LabelChange.objects.select_related("team", "dataset", "fix"),
    ),
    object_path(
        "datasets/<int:pk>/write/",
        writing.write,
        Dataset,
        name="write",
        read=Role.EDITOR,
        queryset=_dataset,
    ),
    team_path("t/<slug:team>/dataset-gate/", checks.gate, name="gate", write=Role.APPROVER),
    team_path("t/<slug:team>/personal-data/", checks.pii_detail, name="pii"),
    object_path("fixes/<int:pk>/undo/", examples.fix_undo, Fix, name="fix-undo"),
    object_path(
        "datasets/<int:pk>/review/",
        reviews.review_create,
        Dataset,
        name="review-create",
        read=Role.EDITOR,
        queryset=_dataset,
    ),
    object_path(
        "reviews/<int:pk>/summary/", reviews.review_summary, Review, name="review-summary", queryset=_review
    ),
    object_path("reviews/<int:pk>/", reviews.review_detail, Review, name="review-detail", queryset=_review),
    object_path(
        "reviews/<int:pk>/rows/<int:item>/",
        reviews.review_judge,
        Review,
        name="review-judge",
        queryset=_review,
    ),
    object_path(
        "reviews/<int:pk>/rows/<int:item>/undo/",
        reviews.review_undo,
        Review,
        name="review-undo",
        queryset=_review,
    ),
    object_path(
        "datasets/<int:pk>/quality/",
        quality.quality_create,
        Dataset,
        name="quality-create",
        read=Role.EDITOR,
        queryset=_dataset,
    ),
    object_path(
        "quality/<int:pk>/", quality.quality_detail, QualityRun, name="quality-detail", queryset=_quality
    ),
    object_path(
        "quality/<int:pk>/again/", quality.quality_again, QualityRun, name="quality-again", queryset=_quality
    ),
    object_path(
        "datasets/<int:pk>/freeze/",
        versions.version_create,
        Dataset,
        name="version-create",
        read=Role.EDITOR,
        queryset=_dataset,
    ),
    object_path(
        "dataset-versions/<int:pk>/",
        versions.version_detail,
        DatasetVersion,
        name="version-detail",
        queryset=_version,
    ),
    object_path(
        "dataset-versions/<int:pk>/rows/",
        versions.version_rows,
        DatasetVersion,
        name="version-rows",
        queryset=_version,
    ),
    object_path(
        "dataset-versions/<int:pk>/open-test/",
        versions.version_open_test,
        DatasetVersion,
        name="version-open-test",
        queryset=_version,
    ),
    object_path(
        "dataset-versions/<int:pk>/export/",
        exports.version_exports,
        DatasetVersion,
        name="version-exports",
        queryset=_version,
    ),
    object_path(
        "dataset-versions/<int:pk>/export/check/",
        exports.version_exports_check,
        DatasetVersion,
        name="version-exports-check",
        queryset=_version,
    ),
    object_path(
        "dataset-versions/<int:pk>/export/folder/",
        exports.version_folder,
        DatasetVersion,
        name="version-folder",
        queryset=_version,
    ),
    object_path(
        "dataset-versions/<int:pk>/export/<slug:split>/<slug:format>/",
        exports.version_export,
        DatasetVersion,
        name="version-export",
        queryset=_version,
    ),
    object_path(
        "dataset-versions/<int:pk>/datasheet/",
        versions.version_datasheet,
        DatasetVersion,
        name="version-datasheet",
        queryset=_version,
    ),
    object_path(
        "dataset-versions/<int:pk>/diff/<int:other>/",
        versions.version_diff,
        DatasetVersion,
        name="version-diff",
        queryset=_version,
    ),
    object_path(
        "use-cases/<int:pk>/mix/",
        versions.version_mix,
        UseCase,
        name="version-mix",
        read=Role.EDITOR,
        queryset=lambda: UseCase.objects.select_related("team"),
    ),
    object_path(
        "dataset-versions/<int:pk>/repair/",
        versions.version_repair,
        DatasetVersion,
        name="version-repair",
        queryset=_version,
    ),
    object_path(
        "dataset-versions/<int:pk>/notes/",
        versions.version_notes,
        DatasetVersion,
        name="version-notes",
        queryset=_version,
    ),
]
