"""The looks a person may choose."""

from enum import StrEnum


class Theme(StrEnum):
    SYSTEM = "system"
    LIGHT = "light"
    DARK = "dark"

    @property
    def label(self) -> str:
        """The words people read."""
        return {"system": "As the device says", "light": "Light", "dark": "Dark"}[self.value]
