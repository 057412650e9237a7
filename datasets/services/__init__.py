"""One function for each intention of a person or the clock, by noun."""

from datasets.services.checks import apply_fix, open_findings, start_checks
from datasets.services.exports import (
    bad_rows_csv,
    export,
    export_folder,
    export_lines,
    record_export,
    start_export_check,
)
from datasets.services.fixing import press_fix, press_undo
from datasets.services.gating import set_gate, standing, standing_judging
from datasets.services.imports import (
    archive_dataset,
    create_dataset,
    discard_import,
    preview,
    rename_dataset,
    set_mapping,
    stage_upload,
    start_import,
)
from datasets.services.judging import quote, start_quality
from datasets.services.queueing import editors_of, plan_review, press_review
from datasets.services.reviewing import (
    accept_all,
    contents_of,
    edit_example,
    review_example,
    set_state,
    settle,
    undo_example_edit,
    undo_review,
)
from datasets.services.undoing import standing_fixes, undo_fix
from datasets.services.versions import (
    allowed_folds,
    annotate,
    blockers,
    count_look,
    has_looked,
    open_test_rows,
    repair_leaks,
    start_freeze,
)

__all__ = [
    "accept_all",
    "allowed_folds",
    "annotate",
    "apply_fix",
    "archive_dataset",
    "bad_rows_csv",
    "blockers",
    "contents_of",
    "count_look",
    "create_dataset",
    "discard_import",
    "edit_example",
    "editors_of",
    "export",
    "export_folder",
    "export_lines",
    "has_looked",
    "open_findings",
    "open_test_rows",
    "plan_review",
    "press_fix",
    "press_review",
    "press_undo",
    "preview",
    "quote",
    "record_export",
    "rename_dataset",
    "repair_leaks",
    "review_example",
    "set_gate",
    "set_mapping",
    "set_state",
    "settle",
    "stage_upload",
    "standing",
    "standing_fixes",
    "standing_judging",
    "start_checks",
    "start_export_check",
    "start_freeze",
    "start_import",
    "start_quality",
    "undo_example_edit",
    "undo_fix",
    "undo_review",
]
