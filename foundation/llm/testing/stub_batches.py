"""The stub's message batches: created, going for some looks, then ended with a result a question."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

# Answers one question: (parameters, number of the call, fault) -> Message object.
Answerer = Callable[[Mapping[str, Any], int, str], dict[str, Any]]


@dataclass
class StubBatches:
    """All batches of one stub. `looks` is how often a batch says it is going before it has ended."""

    looks: int = 1
    batches: dict[str, dict[str, Any]] = field(default_factory=dict)
    submitted: int = 0

    def create(self, body: Any) -> dict[str, Any] | str:
        """The new batch, or what is wrong with the request."""
        requests = body.get("requests") if isinstance(body, dict) else None
        if not isinstance(requests, list) or not requests or len(requests) > 100_000:
            return "requests: a list of 1 to 100,000 is needed"
        ids = [str(one.get("custom_id", "")) for one in requests if isinstance(one, dict)]
        if len(set(ids)) != len(requests) or not all(0 < len(i) <= 64 for i in ids):
            return "requests: custom_id must be unique, 1 to 64 characters"
        self.submitted += 1
        name = f"msgbatch_stub_{self.submitted:06d}"
        self.batches[name] = {
            "requests": requests,
            "looks": 0,
            "looks_after_cancel": 0,
            "cancelled": False,
            "created_at": datetime.now(UTC),
        }
        return self.shown(name, "")

    def shown(self, name: str, base: str) -> dict[str, Any]:
        """The batch as the provider shows it."""
        batch = self.batches[name]
        if batch["cancelled"]:
            ended = batch["looks_after_cancel"] >= 1
        else:
            ended = batch["looks"] >= self.looks
        n = len(batch["requests"])
        counts = dict.fromkeys(("processing", "succeeded", "errored", "canceled", "expired"), 0)
        counts["processing" if not ended else "canceled" if batch["cancelled"] else "succeeded"] = n
        at = batch["created_at"]
        return {
            "id": name,
            "type": "message_batch",
            "processing_status": "ended" if ended else "canceling" if batch["cancelled"] else "in_progress",
            "request_counts": counts,
            "created_at": at.isoformat(),
            "expires_at": (at + timedelta(days=1)).isoformat(),
            "ended_at": datetime.now(UTC).isoformat() if ended else None,
            "cancel_initiated_at": None,
            "archived_at": None,
            "results_url": f"{base}/v1/messages/batches/{name}/results" if ended else None,
        }

    def look(self, name: str, base: str) -> dict[str, Any]:
        """The batch, one look nearer to its end."""
        shown = self.shown(name, base)
        batch = self.batches[name]
        batch["looks_after_cancel" if batch["cancelled"] else "looks"] += 1
        return shown

    def cancel(self, name: str, base: str) -> dict[str, Any]:
        """The batch, canceling until somebody has looked once more; then what was open is cancelled."""
        batch = self.batches[name]
        batch["cancelled"] = batch["cancelled"] or batch["looks"] < self.looks
        return self.shown(name, base)

    def results(self, name: str, answer: Answerer, fault: Callable[[bytes], str]) -> bytes:
        """One JSON line a question, last first: the order says nothing."""
        batch = self.batches[name]
        lines = []
        for number, one in reversed(list(enumerate(batch["requests"], 1))):
            raw = json.dumps(one["params"]).encode()
            struck = fault(raw)
            if batch["cancelled"]:
                result: dict[str, Any] = {"type": "canceled"}
            elif struck == "expired":
                result = {"type": "expired"}
            elif struck in ("400", "500", "529"):
                error = {"type": "invalid_request_error", "message": "refused"}
                result = {"type": "errored", "error": {"type": "error", "error": error, "request_id": None}}
            else:
                result = {"type": "succeeded", "message": answer(one["params"], number, struck)}
            lines.append(json.dumps({"custom_id": one["custom_id"], "result": result}))
        return ("\n".join(lines) + "\n").encode()
