"""The dataset card of an exported version: Markdown with the header that Hugging Face's libraries read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

_TASKS = {"classify": "text-classification"}
# The names their hub sorts datasets by.
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


def size_category(n_rows: int) -> str:
    """The hub's name for a dataset of so many rows."""
    return next((name for most, name in _SIZES if n_rows < most), "1M<n<10M")


def _quoted(text: str) -> str:
    """A YAML scalar that says the text and nothing else: a JSON string is one."""
    return orjson.dumps(text).decode()


def _inline(text: str) -> str:
    """Text that Markdown leaves alone, on one line."""
    flat = " ".join(text.split())
    return "".join(f"\\{c}" if c in "\\`*_{}[]<>#|" else c for c in flat)


def dataset_card(
    *,
    name: str,
    number: int,
    checksum: str,
    task_kind: str,
    labels: Sequence[str],
    recipe: Mapping[str, Any],
    sizes: Mapping[str, int],
    n_test: int,
    leaks: Sequence[str] | None,
) -> str:
    """The card. It says only what is frozen with the version, so the same version has the same card for ever."""
    lines = [
        "---",
        f"pretty_name: {_quoted(f'{name}, version {number}')}",
        "task_categories:",
        f"- {_TASKS.get(task_kind, 'text-generation')}",
        "size_categories:",
        f"- {size_category(sum(sizes.values()))}",
        "configs:",
        "- config_name: default",
        "  data_files:",
    ]
    for split in sizes:
        lines += [f"  - split: {split}", f"    path: data/{split}.jsonl"]
    lines += [
        "---",
        "",
        f"# {_inline(name)}, version {number}",
        "",
        "One conversation a line: `messages` with roles, `tools` where the model was offered some.",
        "",
        "| Split | Rows |",
        "|---|---:|",
        *(f"| {split} | {n:,} |" for split, n in sizes.items()),
        "",
    ]
    if n_test and "test" not in sizes:
        lines += [f"The {n_test:,} test rows are sealed and not in this folder.", ""]
    if labels:
        lines += [f"Labels: {', '.join(_inline(label) for label in labels[:200])}.", ""]
    if leaks is not None:
        lines += [
            f"Between the splits: {'; '.join(leaks)}." if leaks else "No leak between the splits was found.",
            "",
        ]
    lines += [
        f"Seed {_inline(str(recipe.get('seed', '')))!s}, split {_inline(str(recipe.get('strategy', '')))}. "
        "The same rows and recipe give the same checksum on any machine:",
        "",
        f"    {checksum}",
        "",
    ]
    return "\n".join(lines)
