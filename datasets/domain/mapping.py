"""Which column of a file plays which part of an example: chosen by people, guessed by names and by what cells hold."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from collections.abc import Mapping as MappingType
from dataclasses import asdict, dataclass, fields
from statistics import fmean
from typing import Any

import orjson

_PROMPT_NAMES = (
    "prompt instruction question text input query utterance sentence message body ticket email user_input request "
    "review comment description content document title_and_body source inputs user human"
).split()
_COMPLETION_NAMES = (
    "completion response answer output reply target assistant expected ideal chosen generation summary translation "
    "targets outputs expected_output bot gold"
).split()
_LABEL_NAMES = (
    "label category class intent queue topic sentiment tag labels categories target_label type".split()
)
_GROUP_NAMES = (
    "group customer customer_id user_id account account_id conversation_id session_id thread_id".split()
)
_AT_NAMES = "at timestamp created_at time date datetime created sent_at received_at".split()
_TOOLS_NAMES = "tools functions".split()
_HISTORY_NAMES = "history".split()
_MESSAGES_NAMES = "messages conversations conversation dialogue dialog".split()
_SYSTEM_NAMES = "system system_prompt".split()
ALL_NAMES = frozenset(
    _PROMPT_NAMES
    + _COMPLETION_NAMES
    + _LABEL_NAMES
    + _GROUP_NAMES
    + _AT_NAMES
    + _SYSTEM_NAMES
    + _MESSAGES_NAMES
    + ["id"]
)


@dataclass(frozen=True, slots=True)
class ColumnMapping:
    """Which column plays which part. A chat needs `messages`; a pair needs `prompt` and `completion` or `label`."""

    messages: str = ""
    system: str = ""
    prompt: str = ""
    context: str = ""
    completion: str = ""
    label: str = ""
    group: str = ""
    at: str = ""
    tools: str = ""
    history: str = ""
    # What becomes of all other columns: kept as metadata of the row, or left out ("drop").
    others: str = ""

    def as_json(self) -> dict[str, str]:
        """Plain values for a JSON column."""
        return asdict(self)

    @property
    def columns(self) -> frozenset[str]:
        """Columns that play a part."""
        return frozenset(c for name, c in asdict(self).items() if c and name != "others")

    @classmethod
    def from_json(cls, value: MappingType[str, Any]) -> ColumnMapping:
        """The mapping that `as_json` wrote; unknown names are ignored."""
        return cls(**{f.name: str(value.get(f.name, "") or "") for f in fields(cls)})

    def problem(self, columns: Sequence[str]) -> tuple[str, str]:
        """(field, sentence) of what is missing, or two empty strings when the mapping can be used."""
        for name, column in asdict(self).items():
            if name != "others" and column and columns and column not in columns:
                return name, f"There is no column {column!r} in this file."
        if self.messages:
            return "", ""
        if not self.prompt:
            return "prompt", "Choose the column that holds the prompt (or the text to classify)."
        if not self.completion and not self.label:
            return "completion", "Choose the column that holds the answer, or the label."
        if self.prompt == self.completion or self.prompt == self.label:
            return "prompt", "The prompt and the answer must be different columns."
        return "", ""


def guess_mapping(records: Sequence[MappingType[str, Any]], columns: Sequence[str]) -> ColumnMapping:
    """Which column plays which part, by names first and by what the cells hold second."""
    known = {c.lower().strip().replace(" ", "_").replace("-", "_"): c for c in reversed(columns)}

    def named(names: Iterable[str], *, taken: Iterable[str] = ()) -> str:
        for name in names:
            if name in known and known[name] not in taken:
                return known[name]
        return ""

    messages = ""
    for name in _MESSAGES_NAMES:
        column = known.get(name, "")
        if column and any(isinstance(r.get(column), list) for r in records):
            messages = column
            break
    system = named(_SYSTEM_NAMES)
    extras = {"group": named(_GROUP_NAMES), "at": named(_AT_NAMES)}
    for part, names in (("tools", _TOOLS_NAMES), ("history", _HISTORY_NAMES)):
        column = named(names)
        if column and any(_is_list(r.get(column), as_text=part == "tools") for r in records):
            extras[part] = column
    if messages:
        return ColumnMapping(messages=messages, system=system, label=named(_LABEL_NAMES), **extras)
    context = ""
    prompt = named(_PROMPT_NAMES)
    if {"instruction", "input", "output"} <= known.keys():  # Alpaca
        prompt, context = known["instruction"], known["input"]
    completion = named(_COMPLETION_NAMES, taken=(prompt,))
    label = named(_LABEL_NAMES, taken=(prompt, completion))
    used = {prompt, context, completion, label, system, *extras.values()}
    if not prompt or not (completion or label):
        texts = [c for c in columns if c not in used and _is_text(records, c)]
        texts.sort(key=lambda c: -_mean_length(records, c))
        if not prompt and texts:
            prompt = texts.pop(0)
        if not (completion or label) and texts:
            few = [c for c in texts if _is_tag(records, c)]
            if few:
                label = min(few, key=lambda c: len({str(r.get(c)) for r in records}))
            else:
                completion = texts[0]
    return ColumnMapping(
        system=system, prompt=prompt, context=context, completion=completion, label=label, **extras
    )


def _is_list(value: Any, *, as_text: bool) -> bool:
    """Whether a cell holds a list, or with `as_text` the JSON of objects, as ShareGPT writes its tools."""
    if as_text and isinstance(value, str) and value.lstrip().startswith("["):
        try:
            found = orjson.loads(value)
        except orjson.JSONDecodeError:
            return False
        return bool(found) and all(isinstance(tool, dict) for tool in found)
    return isinstance(value, list)


def shape_of(records: Sequence[MappingType[str, Any]], mapping: ColumnMapping) -> str:
    """What the field calls files like this one, for a person; empty when it has no name of its own."""
    first = records[0] if records else {}
    if mapping.messages:
        messages = next((m for r in records if (m := r.get(mapping.messages)) and isinstance(m, list)), [])
        head = next((m for m in messages if isinstance(m, dict)), {})
        if "from" in head:
            return "ShareGPT conversations"
        if "schemaVersion" in first:
            return "Bedrock Converse conversations"
        if mapping.system and not any(m.get("role") == "system" for m in messages if isinstance(m, dict)):
            return "Anthropic or Bedrock messages"
        return "chat messages (OpenAI, TRL)"
    if mapping.prompt and isinstance(first.get(mapping.prompt), list):
        return "TRL prompt and completion, as messages"
    if mapping.context and {"instruction", "output"} <= {c.lower() for c in mapping.columns}:
        return "Alpaca instructions"
    if {"prompt", "completion"} <= {c.lower() for c in mapping.columns}:
        return "prompt and completion"
    if mapping.label and not mapping.completion:
        return "text and label"
    return ""


def _values(records: Sequence[MappingType[str, Any]], column: str) -> list[Any]:
    return [r[column] for r in records if r.get(column) not in (None, "")]


def _is_text(records: Sequence[MappingType[str, Any]], column: str) -> bool:
    values = _values(records, column)
    return bool(values) and all(isinstance(v, (str, int)) for v in values)


def _mean_length(records: Sequence[MappingType[str, Any]], column: str) -> float:
    values = _values(records, column)
    return fmean(len(str(v)) for v in values) if values else 0.0


def _is_tag(records: Sequence[MappingType[str, Any]], column: str) -> bool:
    """Whether the cells look like labels: short, and the same few again and again."""
    values = [str(v) for v in _values(records, column)]
    return bool(values) and max(map(len, values)) <= 60 and len(set(values)) <= max(2, 0.5 * len(values))
