"""Lines to copy that call an endpoint: the real address, and the token as a variable so that none ends in a file."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass

TOKEN_VARIABLE = "FTPORTAL_TOKEN"  # noqa: S105 - the name of a variable
QUESTION = "Where is my parcel? It was due on Monday."


@dataclass(frozen=True, slots=True)
class Snippet:
    """One piece of code with its name. `language` is "sh" or "python"."""

    key: str
    title: str
    language: str
    code: str


def snippets(gateway_url: str, slug: str, *, question: str = QUESTION) -> list[Snippet]:
    """Ways to call the endpoint, each of which runs as it stands once the token is in the environment."""
    base = f"{gateway_url}/{slug}"
    body = {"model": slug, "max_tokens": 300, "messages": [{"role": "user", "content": question}]}
    said = json.dumps(question, ensure_ascii=False)
    head = f'-H "authorization: Bearer ${TOKEN_VARIABLE}" -H "content-type: application/json"'
    # -N shows events as they come; -D - shows the headers, where the prediction's id stands.
    curl = f"curl -sS -D - {base}/v1/messages \\\n  {head} \\\n  -d {shlex.quote(json.dumps(body, ensure_ascii=False))}"
    streamed = {**body, "stream": True}
    curl_stream = f"curl -sSN {base}/v1/messages \\\n  {head} \\\n  -d {shlex.quote(json.dumps(streamed, ensure_ascii=False))}"
    client = (
        "import os\nfrom anthropic import Anthropic\n\n"
        f'client = Anthropic(base_url="{base}", api_key=os.environ["{TOKEN_VARIABLE}"])\n'
    )
    arguments = (
        f'    model="{slug}",\n    max_tokens=300,\n    messages=[{{"role": "user", "content": {said}}}],\n'
    )
    python = (
        f"{client}reply = client.messages.with_raw_response.create(\n{arguments})\n"
        'print(reply.parse().content[0].text)\nprint(reply.headers["x-prediction-id"])'
    )
    python_stream = (
        f"{client}with client.messages.stream(\n{arguments}) as stream:\n"
        '    for text in stream.text_stream:\n        print(text, end="", flush=True)'
    )
    # The other protocol: a client made for chat completions needs a new base address and nothing else.
    completed = {"model": slug, "messages": body["messages"]}
    chat = f"curl -sS -D - {base}/v1/chat/completions \\\n  {head} \\\n  -d {shlex.quote(json.dumps(completed, ensure_ascii=False))}"
    chat_streamed = {**completed, "stream": True, "stream_options": {"include_usage": True}}
    chat_stream = f"curl -sSN {base}/v1/chat/completions \\\n  {head} \\\n  -d {shlex.quote(json.dumps(chat_streamed, ensure_ascii=False))}"
    told = json.dumps({"prediction_id": "PREDICTION_ID", "correct": False, "label": "the right answer"})
    feedback = f"curl -sS {base}/v1/feedback \\\n  {head} \\\n  -d {shlex.quote(told)}"
    return [
        Snippet("curl", "curl", "sh", curl),
        Snippet("curl-stream", "curl, streamed", "sh", curl_stream),
        Snippet("python", "Python, Anthropic SDK", "python", python),
        Snippet("python-stream", "Python, streamed", "python", python_stream),
        Snippet("chat", "curl, chat completions", "sh", chat),
        Snippet("chat-stream", "curl, chat completions, streamed", "sh", chat_stream),
        Snippet("feedback", "Feedback on an answer", "sh", feedback),
    ]
