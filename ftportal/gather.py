"""What every floor offers to the pages below it, listed in one place: the only file that knows all floors."""

from __future__ import annotations


def gather() -> None:
    """Fill the registries of the lower floors. Called once, when the apps are ready."""
