"""Models trained in this portal. They are not language models, and say so; numpy is all they need to
answer."""

from foundation.llm.local.answering import DESCRIPTIONS, LocalAnswer, LocalModel, load

__all__ = ["DESCRIPTIONS", "LocalAnswer", "LocalModel", "load"]
