"""Models trained in this portal, asked in process. They see the last thing the user said, and nothing is
charged."""

from __future__ import annotations

import asyncio

from foundation.files.models import Blob
from foundation.llm import local
from foundation.llm.adapters.answer import Answer
from foundation.llm.domain.messages import Request, Usage
from foundation.llm.errors import UnknownModel

PREFIX = "local:"


def find(team_id: int, model: str) -> Blob:
    """The team's artefact behind `local:<sha256>`. Raises UnknownModel."""
    blob = Blob.objects.filter(team_id=team_id, sha256=model.removeprefix(PREFIX)).order_by("pk").first()
    if not model.startswith(PREFIX) or blob is None:
        raise UnknownModel("This trained model is not in the portal any more. Train it again.")
    return blob


async def ask(request: Request, blob: Blob) -> Answer:
    """One answer; for many texts call `local.load(blob).answer(texts)`, it is far faster."""
    text = next((m.content for m in reversed(request.messages) if m.role == "user"), "")
    answer = (await asyncio.to_thread(lambda: local.load(blob).answer([text])))[0]
    return Answer(answer.text, "end_turn", Usage(), confidence=answer.confidence)
