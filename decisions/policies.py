"""Who may do what while deciding. Roles are asked at the routes; here stands what depends on the row."""

from __future__ import annotations

from decisions.errors import Archived
from decisions.models import UseCase


def check_can_change(use_case: UseCase) -> None:
    """Raises Archived when the use case is put away."""
    if use_case.is_archived:
        raise Archived


def can_change(use_case: UseCase) -> bool:
    """Whether its facts may be edited and new answers saved."""
    return not use_case.is_archived
