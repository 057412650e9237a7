"""What leaves for the provider: the client's request, with what the version owns set over it. Pure."""

from __future__ import annotations

from typing import Any

from datasets.domain.mixing import prefixed
from deployments.gateway.routes import Version

# Fields that some providers' proxies read as "send it there, with that key". A client never chooses these.
ROUTING_FIELDS = (
    "api_base",
    "api_key",
    "api_version",
    "base_url",
    "custom_llm_provider",
    "extra_headers",
    "fallbacks",
    "model_list",
    "user_config",
)


class Refused(Exception):
    """The request cannot be sent on; the text goes to the client with status 400."""


def check(body: Any, *, system_policy: str = "replace") -> None:
    """Raises Refused, in a sentence, for a body no model could answer, or a system prompt the endpoint does not take."""
    if not isinstance(body, dict):
        raise Refused("The body must be a JSON object.")
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise Refused("messages: at least one message is required.")
    if system_policy == "refuse" and body.get("system"):
        raise Refused("system: this endpoint sets the system prompt itself. Leave `system` out.")


def shaped(body: dict[str, Any], version: Version, *, system_policy: str) -> dict[str, Any]:
    """A new body for `version`. What the version does not own survives unchanged, unknown fields included."""
    sent = {**body, "model": version.model}
    for name in ROUTING_FIELDS:
        sent.pop(name, None)
    theirs = body.get("system")
    system = joined(version.system, theirs) if theirs and system_policy == "append" else version.system
    if system:
        sent["system"] = system
    else:
        sent.pop("system", None)
    if version.few_shot:
        sent["messages"] = [*version.few_shot, *body["messages"]]
    if version.max_tokens is not None:
        sent["max_tokens"] = version.max_tokens
    if version.output_config:
        theirs_config = body.get("output_config")
        base = theirs_config if isinstance(theirs_config, dict) else {}
        sent["output_config"] = {**base, **version.output_config}
    return sent


def with_task(body: dict[str, Any], task: str) -> dict[str, Any]:
    """The body whose last question of the user names its task as training rows do (S45); unchanged where it does so.

    Earlier turns stay: rows name the task in front of the question that is answered.
    """
    messages = list(body["messages"])
    for at in range(len(messages) - 1, -1, -1):
        message = messages[at]
        if not isinstance(message, dict) or message.get("role") != "user":
            continue
        content = message.get("content")
        if isinstance(content, str):
            messages[at] = {**message, "content": _named(task, content)}
            return {**body, "messages": messages}
        blocks = content if isinstance(content, list) else []
        for place, block in enumerate(blocks):
            if not isinstance(block, dict) or block.get("type") != "text":
                continue
            if isinstance(text := block.get("text"), str):
                named = {**block, "text": _named(task, text)}
                messages[at] = {**message, "content": [*blocks[:place], named, *blocks[place + 1 :]]}
                return {**body, "messages": messages}
    return body


def _named(task: str, text: str) -> str:
    return text if text.startswith(prefixed(task, "")) else prefixed(task, text)


def joined(ours: str, theirs: Any) -> Any:
    """Both system prompts, ours first; blocks stay blocks, so that their cache marks survive."""
    if not ours:
        return theirs
    if isinstance(theirs, list):
        return [{"type": "text", "text": ours}, *theirs]
    return f"{ours}\n\n{theirs}"
