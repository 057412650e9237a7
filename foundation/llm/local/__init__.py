"""Models trained in this portal. They are not language models, and say so; numpy is all they need to answer.

Names are loaded at first use: numpy and scipy take a second, and no page should pay for them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from foundation.llm.local.answering import DESCRIPTIONS, LocalAnswer, LocalModel, load

__all__ = ["DESCRIPTIONS", "LocalAnswer", "LocalModel", "load"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module("foundation.llm.local.answering"), name)
    raise AttributeError(name)
