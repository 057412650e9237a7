"""The words for what can go wrong while a request is answered."""

from __future__ import annotations

# Failures that say nothing about the version.
OURS = frozenset(("budget", "no_price"))


class Failed(Exception):
    """A version gave no answer, and nothing was sent to the client yet."""

    def __init__(self, status: int, error: str, sentence: str) -> None:
        super().__init__(sentence)
        self.status, self.error, self.sentence = status, error, sentence


class Answer(Exception):
    """An answer that needs no model: refusals. Raised where they are found."""

    def __init__(self, status: int, sentence: str, headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        super().__init__(sentence)
        self.status, self.sentence, self.headers = status, sentence, headers
