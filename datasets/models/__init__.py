"""Tables of this app, one file a noun."""

from datasets.models.crossvalidation import CrossValidation, FoldAnswer, FoldRun
from datasets.models.examples import (
    Content,
    Edit,
    Example,
    Finding,
    FindingRow,
    Fix,
    FixedRow,
    Judgement,
    QualityRun,
    Review,
    ReviewItem,
    messages_of,
)
from datasets.models.gates import DatasetGate, LabelChange
from datasets.models.imports import BadRow, Bindings, CheckPart, CheckRun, Dataset, Import
from datasets.models.reviews import Reading
from datasets.models.training import TrainingRun
from datasets.models.versions import DatasetVersion, ExportCheck, Look, SealedDigests, VersionDiff, VersionRow

__all__ = [
    "BadRow",
    "Bindings",
    "CheckPart",
    "CheckRun",
    "Content",
    "CrossValidation",
    "Dataset",
    "DatasetGate",
    "DatasetVersion",
    "Edit",
    "Example",
    "ExportCheck",
    "Finding",
    "FindingRow",
    "Fix",
    "FixedRow",
    "FoldAnswer",
    "FoldRun",
    "Import",
    "Judgement",
    "LabelChange",
    "Look",
    "QualityRun",
    "Reading",
    "Review",
    "ReviewItem",
    "SealedDigests",
    "TrainingRun",
    "VersionDiff",
    "VersionRow",
    "messages_of",
]
