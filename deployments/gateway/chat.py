"""The other shape clients speak: chat completions as OpenAI's API words them, to and from messages. Pure.

The request becomes a messages request before anything else sees it, so versions, sticky keys and the record know one
shape only; the answer is worded anew on its way out.
"""

from __future__ import annotations

import re
from typing import Any

import orjson

from deployments.gateway.shaping import Refused

# What messages need and chat completions may leave out.
DEFAULT_MAX_TOKENS = 4096
# An event longer than this is passed over; no model writes one.
LONGEST_EVENT_BYTES = 4 * 1024 * 1024
# Said in messages' words below, or without a counterpart there; every other field survives unchanged.
OWN_FIELDS = frozenset(
    "messages max_tokens max_completion_tokens stop n user safety_identifier metadata tools tool_choice "
    "parallel_tool_calls response_format reasoning_effort stream_options temperature frequency_penalty "
    "presence_penalty logit_bias logprobs top_logprobs seed store service_tier verbosity prediction audio modalities "
    "prompt_cache_key functions function_call web_search_options".split()
)
FINISHED = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
EFFORTS = {"none": "low", "minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "max"}
TOOL_CHOICES = {"auto": {"type": "auto"}, "none": {"type": "none"}, "required": {"type": "any"}}
_DATA_URL = re.compile(r"data:([\w.+-]+/[\w.+-]+);base64,", re.ASCII)


# --- the request -------------------------------------------------------------------------------------------------


def as_messages(asked: Any) -> dict[str, Any]:
    """The request as messages take it. Raises Refused, naming the field, for what has no counterpart there."""
    if not isinstance(asked, dict):
        raise Refused("The body must be a JSON object.")
    turns = asked.get("messages")
    if not isinstance(turns, list) or not turns:
        raise Refused("messages: at least one message is required.")
    if asked.get("n") not in (None, 1):
        raise Refused("n: this endpoint gives one answer a request.")
    if asked.get("functions") or asked.get("function_call"):
        raise Refused("functions: send `tools` instead.")
    body = {name: value for name, value in asked.items() if name not in OWN_FIELDS}
    system, body["messages"] = _conversation(turns)
    if system:
        body["system"] = system
    most = asked.get("max_completion_tokens")
    most = asked.get("max_tokens") if most is None else most
    body["max_tokens"] = DEFAULT_MAX_TOKENS if most is None else most
    if (stop := asked.get("stop")) is not None:
        body["stop_sequences"] = [stop] if isinstance(stop, str) else stop
    if isinstance(warmth := asked.get("temperature"), int | float):
        # Theirs goes to 2, messages' to 1.
        body["temperature"] = min(warmth, 1)
    named = asked.get("user") or asked.get("safety_identifier")
    if isinstance(named, str):
        body["metadata"] = {"user_id": named}
    if asked.get("tools"):
        body["tools"] = _tools(asked["tools"])
        body |= _tool_choice(asked)
    if config := _output_config(asked):
        body["output_config"] = config
    return body


def wants_usage(asked: Any) -> bool:
    """Whether a stream should end with its token counts."""
    options = asked.get("stream_options") if isinstance(asked, dict) else None
    return isinstance(options, dict) and options.get("include_usage") is True


def _conversation(turns: list[Any]) -> tuple[str, list[dict[str, Any]]]:
    """What the system says, and the turns of the others."""
    system: list[str] = []
    found: list[dict[str, Any]] = []
    results: list[dict[str, Any]] | None = None
    for at, turn in enumerate(turns):
        where = f"messages.{at}"
        if not isinstance(turn, dict):
            raise Refused(f"{where}: must be an object.")
        role, content = turn.get("role"), turn.get("content")
        if role == "tool":
            # The results of one turn's calls stand in one message.
            if results is None:
                results = []
                found.append({"role": "user", "content": results})
            result = {"type": "tool_result", "tool_use_id": str(turn.get("tool_call_id", ""))}
            results.append({**result, "content": _text(content, where)})
            continue
        results = None
        if role in ("system", "developer"):
            system.append(_text(content, where))
        elif role == "user":
            found.append({"role": "user", "content": _parts(content, where)})
        elif role == "assistant":
            found.append({"role": "assistant", "content": _said(turn, where)})
        else:
            raise Refused(f"{where}.role: {str(role)[:40]!r} is not a role this endpoint knows.")
    if not found:
        raise Refused("messages: at least one message of the user is required.")
    return "\n\n".join(text for text in system if text), found


def _text(content: Any, where: str) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    if isinstance(content, list):
        texts = [part.get("text") for part in content if isinstance(part, dict)]
        if len(texts) == len(content) and all(isinstance(text, str) for text in texts):
            return "".join(str(text) for text in texts)
    raise Refused(f"{where}.content: must be text.")


def _parts(content: Any, where: str) -> Any:
    if not isinstance(content, list):
        return _text(content, where)
    blocks: list[dict[str, Any]] = []
    for part in content:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind == "text" and isinstance(part.get("text"), str):
            # Their own marks on a part, such as one for the cache, survive.
            blocks.append(part)
        elif kind == "image_url" and isinstance(image := part.get("image_url"), dict):
            blocks.append({"type": "image", "source": _source(str(image.get("url", "")), where)})
        else:
            raise Refused(f"{where}.content: parts of the type {str(kind)[:40]!r} are not taken here.")
    return blocks


def _source(url: str, where: str) -> dict[str, str]:
    if found := _DATA_URL.match(url):
        return {"type": "base64", "media_type": found[1], "data": url[found.end() :]}
    if url.startswith("https://"):
        return {"type": "url", "url": url}
    raise Refused(f"{where}.content: an image is an https address or a data address in base64.")


def _said(turn: dict[str, Any], where: str) -> Any:
    text, calls = _text(turn.get("content"), where), turn.get("tool_calls")
    if not calls:
        return text
    blocks: list[dict[str, Any]] = [{"type": "text", "text": text}] if text else []
    given_calls: list[Any] = calls if isinstance(calls, list) else [None]
    for call in given_calls:
        try:
            asked, identity = call["function"], str(call.get("id", ""))
            name, given = asked["name"], orjson.loads(asked["arguments"] or "{}")
        except (AttributeError, KeyError, TypeError, ValueError):
            raise Refused(
                f"{where}.tool_calls: each needs a function with a name and arguments as JSON."
            ) from None
        blocks.append({"type": "tool_use", "id": identity, "name": name, "input": given})
    return blocks


def _tools(tools: Any) -> list[dict[str, Any]]:
    found = []
    for at, tool in enumerate(tools if isinstance(tools, list) else [None]):
        asked = tool.get("function") if isinstance(tool, dict) and tool.get("type") == "function" else None
        if not isinstance(asked, dict) or not isinstance(asked.get("name"), str):
            raise Refused(f"tools.{at}: must be a function with a name.")
        made = {
            "name": asked["name"],
            "input_schema": asked.get("parameters") or {"type": "object", "properties": {}},
        }
        found.append(made | {name: asked[name] for name in ("description", "strict") if name in asked})
    return found


def _tool_choice(asked: dict[str, Any]) -> dict[str, Any]:
    wanted = asked.get("tool_choice")
    if isinstance(wanted, dict) and isinstance(function := wanted.get("function"), dict):
        choice: dict[str, Any] | None = {"type": "tool", "name": function.get("name")}
    elif wanted is None:
        choice = None
    elif isinstance(wanted, str) and wanted in TOOL_CHOICES:
        choice = dict(TOOL_CHOICES[wanted])
    else:
        raise Refused("tool_choice: must be auto, none, required or a function with its name.")
    if asked.get("parallel_tool_calls") is False and (choice is None or choice["type"] != "none"):
        choice = {**(choice or {"type": "auto"}), "disable_parallel_tool_use": True}
    return {} if choice is None else {"tool_choice": choice}


def _output_config(asked: dict[str, Any]) -> dict[str, Any]:
    theirs = asked.get("output_config")
    config: dict[str, Any] = dict(theirs) if isinstance(theirs, dict) else {}
    if (effort := asked.get("reasoning_effort")) is not None:
        if not isinstance(effort, str) or effort not in EFFORTS:
            raise Refused(f"reasoning_effort: must be one of {', '.join(EFFORTS)}.")
        config["effort"] = EFFORTS[effort]
    shape = asked.get("response_format")
    kind = shape.get("type") if isinstance(shape, dict) else None
    if kind == "json_schema" and isinstance(schema := shape.get("json_schema"), dict):  # type: ignore[union-attr]
        config["format"] = {"type": "json_schema", "schema": schema.get("schema")}
    elif shape is not None and kind != "text":
        raise Refused("response_format: send a json_schema, or leave it out.")
    return config


# --- the answer --------------------------------------------------------------------------------------------------


def error_object(status: int, sentence: str) -> dict[str, Any]:
    """The body of an error, as a value."""
    kind, code = "invalid_request_error", None
    if status == 401:
        kind, code = "authentication_error", "invalid_api_key"
    elif status == 403:
        kind = "permission_error"
    elif status == 429:
        kind, code = "rate_limit_error", "rate_limit_exceeded"
    elif status >= 500:
        kind = "server_error"
    return {"error": {"message": sentence, "type": kind, "param": None, "code": code}}


def error_body(status: int, sentence: str) -> bytes:
    """The body of an error."""
    return orjson.dumps(error_object(status, sentence))


def answer_body(status: int, whole: dict[str, Any], *, identity: str, created: int) -> bytes:
    """A provider's message, or its error, as a chat completion, or its error."""
    if status != 200:
        said = whole.get("error")
        return error_body(
            status, str(said.get("message", "")) if isinstance(said, dict) else "The provider failed."
        )
    return orjson.dumps(completion(whole, identity=identity, created=created))


def completion(whole: dict[str, Any], *, identity: str, created: int) -> dict[str, Any]:
    """A whole message as a chat completion."""
    content = whole.get("content")
    blocks = [b for b in content if isinstance(b, dict)] if isinstance(content, list) else []
    text = "".join(str(b.get("text", "")) for b in blocks if b.get("type") == "text")
    calls = [
        _call(b.get("id"), b.get("name"), orjson.dumps(b.get("input") or {}).decode())
        for b in blocks
        if b.get("type") == "tool_use"
    ]
    said: dict[str, Any] = {
        "role": "assistant",
        "content": text if text or not calls else None,
        "refusal": None,
    }
    if calls:
        said["tool_calls"] = calls
    choice = {
        "index": 0,
        "message": said,
        "logprobs": None,
        "finish_reason": finished(whole.get("stop_reason")),
    }
    return {
        "id": f"chatcmpl-{identity}",
        "object": "chat.completion",
        "created": created,
        "model": whole.get("model"),
        "choices": [choice],
        "usage": usage_of(whole.get("usage")),
    }


def _call(identity: Any, name: Any, arguments: str) -> dict[str, Any]:
    return {"id": identity, "type": "function", "function": {"name": name, "arguments": arguments}}


def finished(stop_reason: Any) -> str:
    """Why it ended, in their words."""
    return FINISHED.get(str(stop_reason), "stop")


def usage_of(said: Any) -> dict[str, Any]:
    """Token counts in their words: what came from the cache is part of the prompt."""
    counts = {k: v for k, v in said.items() if isinstance(v, int)} if isinstance(said, dict) else {}
    cached = counts.get("cache_read_input_tokens", 0)
    asked = counts.get("input_tokens", 0) + cached + counts.get("cache_creation_input_tokens", 0)
    given = counts.get("output_tokens", 0)
    return {
        "prompt_tokens": asked,
        "completion_tokens": given,
        "total_tokens": asked + given,
        "prompt_tokens_details": {"cached_tokens": cached},
    }


class Chunks:
    """The events of one message as the chunks of a chat completion; pieces may be cut anywhere."""

    def __init__(self, *, identity: str, created: int, wants_usage: bool) -> None:
        self.head: dict[str, Any] = {
            "id": f"chatcmpl-{identity}",
            "object": "chat.completion.chunk",
            "created": created,
            "model": None,
        }
        self.wants_usage = wants_usage
        self.rest = b""
        self.usage: dict[str, Any] = {}
        self.calls: dict[str, int] = {}
        # Arguments of calls that have said none yet, by block: a call without any must still end as JSON.
        self.unsaid: dict[str, str] = {}

    def feed(self, piece: bytes) -> bytes:
        """What the client gets for this piece; perhaps nothing yet."""
        lines = (self.rest + piece).split(b"\n")
        self.rest = lines.pop()
        if len(self.rest) > LONGEST_EVENT_BYTES:
            self.rest = b""
        out = []
        for line in lines:
            if line.startswith(b"data:"):
                try:
                    data = orjson.loads(line[5:])
                except orjson.JSONDecodeError:
                    continue
                if isinstance(data, dict):
                    out += self._chunks(data)
        return b"".join(out)

    def error(self, status: int, sentence: str) -> bytes:
        """The chunk that ends a stream which cannot be finished."""
        return b"data: %s\n\n" % error_body(status, sentence)

    def _chunks(self, data: dict[str, Any]) -> list[bytes]:
        kind = data.get("type")
        delta = data.get("delta")
        delta = delta if isinstance(delta, dict) else {}
        if kind == "content_block_delta":
            if isinstance(text := delta.get("text"), str):
                return [self._chunk({"content": text})]
            if isinstance(part := delta.get("partial_json"), str) and str(data.get("index")) in self.calls:
                if part:
                    self.unsaid.pop(str(data["index"]), None)
                return [self._arguments(data["index"], part)]
        elif kind == "message_start" and isinstance(begun := data.get("message"), dict):
            self.head["model"] = begun.get("model")
            self._count(begun.get("usage"))
            return [self._chunk({"role": "assistant", "content": ""})]
        elif kind == "content_block_start" and isinstance(block := data.get("content_block"), dict):
            if block.get("type") == "tool_use":
                number = self.calls[str(data.get("index"))] = len(self.calls)
                self.unsaid[str(data.get("index"))] = orjson.dumps(block.get("input") or {}).decode()
                call = {"index": number, **_call(block.get("id"), block.get("name"), "")}
                return [self._chunk({"tool_calls": [call]})]
        elif kind == "content_block_stop":
            if (whole := self.unsaid.pop(str(data.get("index")), None)) is not None:
                return [self._arguments(data.get("index"), whole)]
        elif kind == "message_delta":
            self._count(data.get("usage"))
            return [self._chunk({}, finished(delta.get("stop_reason")))]
        elif kind == "message_stop":
            last = {**self.head, "choices": [], "usage": usage_of(self.usage)}
            counted = [b"data: %s\n\n" % orjson.dumps(last)] if self.wants_usage else []
            return [*counted, b"data: [DONE]\n\n"]
        elif kind == "error":
            said = data.get("error")
            said = said if isinstance(said, dict) else {}
            status = 529 if said.get("type") == "overloaded_error" else 502
            return [self.error(status, str(said.get("message") or "The provider failed."))]
        return []

    def _arguments(self, block: Any, part: str) -> bytes:
        call = {"index": self.calls[str(block)], "function": {"arguments": part}}
        return self._chunk({"tool_calls": [call]})

    def _chunk(self, delta: dict[str, Any], finish_reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return b"data: %s\n\n" % orjson.dumps({**self.head, "choices": [choice]})

    def _count(self, said: Any) -> None:
        if isinstance(said, dict):
            self.usage |= {name: value for name, value in said.items() if value is not None}
