"""The four roles, in order: each may do what the one before it may."""

from __future__ import annotations

from enum import IntEnum


class Role(IntEnum):
    VIEWER = 10
    EDITOR = 20
    APPROVER = 30
    ADMIN = 40

    @property
    def label(self) -> str:
        """The word people read."""
        return self.name.capitalize()
