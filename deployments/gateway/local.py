"""Models trained in the portal, answered in process. Requests that wait together are answered together."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

log = logging.getLogger(__name__)
MOST_AT_ONCE = 64
THREADS = 2


def _load(path: str) -> Any:
    # numpy and scipy weigh 27 MB: a gateway that serves no local model never loads them.
    from foundation.llm.local import load

    return load(path)


class LocalModels:
    """Loaded models by the path of their file."""

    def __init__(self, load: Callable[[str], Any] = _load) -> None:
        self.load = load
        self.models: dict[str, Any] = {}
        self.waiting: dict[str, list[tuple[str, asyncio.Future[Any]]]] = {}
        self.pool = ThreadPoolExecutor(THREADS, thread_name_prefix="local-model")
        self.tasks: set[asyncio.Task[None]] = set()

    def warm(self, paths: Iterable[str]) -> None:
        """Load what is new and forget what is not served any more. Blocks: call it in a thread."""
        wanted = {path for path in paths if path}
        for path in wanted - self.models.keys():
            try:
                self.models[path] = self.load(path)
            except Exception as error:
                # The requests for it will say so.
                log.warning("the model %s cannot be loaded: %s", path, error)
        for path in self.models.keys() - wanted:
            self.models.pop(path, None)

    async def answer(self, path: str, text: str) -> Any:
        """One answer. Raises whatever loading or answering raised."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        queue = self.waiting.get(path)
        if queue is None:
            self.waiting[path] = [(text, future)]
            task = loop.create_task(self._work(path))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)
        else:
            queue.append((text, future))
        return await future

    async def _work(self, path: str) -> None:
        loop = asyncio.get_running_loop()
        while batch := self.waiting[path][:MOST_AT_ONCE]:
            del self.waiting[path][: len(batch)]
            texts = [text for text, _ in batch]
            try:
                answers: Sequence[Any] = await loop.run_in_executor(self.pool, self._answers, path, texts)
            except Exception as error:
                for _, future in batch:
                    if not future.done():
                        future.set_exception(error)
                continue
            for (_, future), answer in zip(batch, answers, strict=True):
                if not future.done():
                    future.set_result(answer)
        del self.waiting[path]

    def _answers(self, path: str, texts: list[str]) -> Sequence[Any]:
        model = self.models.get(path)
        if model is None:
            model = self.models[path] = self.load(path)
        return model.answer(texts)

    def close(self) -> None:
        """Let the threads end."""
        self.pool.shutdown(wait=False, cancel_futures=True)
