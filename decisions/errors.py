"""The words for what can go wrong while deciding."""

from __future__ import annotations

from foundation.teams.errors import Conflict, NotAllowed


class Frozen(Conflict):
    """A saved answer was to be changed or deleted."""

    def __init__(self, noun: object) -> None:
        super().__init__(f"A saved {noun} is never changed. Save a new one; both stay readable side by side.")


class EditedMeanwhile(Conflict):
    """The row was edited after the form was opened. `fields` are the names both sides know."""

    def __init__(self, who: str, fields: tuple[str, ...] = ()) -> None:
        changed = f" ({', '.join(fields)})" if fields else ""
        super().__init__(
            f"{who} changed this use case while your form was open{changed}. "
            "Nothing of yours was saved. Look at the new answers below, then send your changes again."
        )
        self.fields = fields


class Archived(Conflict):
    """The use case is put away."""

    def __init__(self) -> None:
        super().__init__("This use case is archived. Restore it before you change it.")


class Stale(Conflict):
    """What the person acts on is not what stands now, or was done already."""


class NotYours(NotAllowed):
    """An author was to sign their own decision."""

    def __init__(self) -> None:
        super().__init__("This decision is your own. Somebody else with the approver role signs it.")
