"""Rows of an evaluation that a later version tests on: what it tells of them is taken out before anybody reads it.

Validation rows may be read by everybody, until a newer version tests on them; test rows that were opened with a reason stay open
to who opened them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from datasets.vault_rows import RowsVault
from evaluations.models import Comparison, Evaluation, Result
from foundation.teams.models import User

Close = Callable[[Sequence[Result]], None]


def closer(user: User | None, thing: Evaluation | Comparison) -> Close:
    """What marks results, read with their contents, as `is_closed` to this person, and blanks every text of those."""
    vault = None if thing.is_sealed else RowsVault(thing.version, user)

    def close(results: Sequence[Result]) -> None:
        closed = vault.closed([row.content for row in results]) if vault is not None else frozenset()
        for row in results:
            row.is_closed = row.content_id in closed  # type: ignore[attr-defined]
            if row.content_id in closed:
                row.content.system = row.content.turns = row.content.prompt = row.content.completion = ""
                row.output = row.predicted = row.expected_label = row.error = row.unscored = ""
                row.judge = {}

    return close
