"""One module a provider: our request in, our answer or our error out.

Nothing of a provider's SDK leaves this room, and none is imported before somebody asks a model: Anthropic's
takes seconds, which every start of the portal would pay.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from foundation.llm.adapters import claude, claude_batches, trained_here

__all__ = ["claude", "claude_batches", "trained_here"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return import_module(f"foundation.llm.adapters.{name}")
    raise AttributeError(name)
