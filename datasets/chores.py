"""Regular work of this app, which the roof registers."""

from __future__ import annotations

from datasets.judging_jobs import look_after_ended
from datasets.services.contents import sweep_contents
from datasets.services.imports import start_missing_indexing
from foundation.jobs.chores import Chore

CHORES = [
    Chore("datasets.index_missing", "Make rows searchable that are not yet", 600, start_missing_indexing),
    Chore("datasets.book_batches", "Book batches of judgings that ended", 60, look_after_ended),
    Chore("datasets.sweep_contents", "Remove texts that nothing refers to", 600, sweep_contents),
]
