"""A trained model in one file: safetensors with a JSON head. Reading it can run no code, whatever is in
it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from foundation.llm.errors import LocalModelFailed

FORMAT = "ftportal-local-1"
KINDS = ("classifier", "nearest", "majority")
# Texts stand in a tensor of bytes: a safetensors head is limited and read whole.
_TEXTS = "texts_json"


@dataclass(frozen=True, slots=True)
class Artefact:
    """What a trained model is made of. `settings` and `texts` are JSON values, `tensors` plain arrays."""

    kind: str
    settings: dict[str, Any]
    tensors: dict[str, np.ndarray] = field(default_factory=dict)
    texts: dict[str, list[str]] = field(default_factory=dict)


def write(artefact: Artefact, path: Path) -> str:
    """Write the artefact to one file; answers the file's SHA-256 as hex.

    The same artefact gives the same bytes.
    """
    if artefact.kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}")
    texts = json.dumps(artefact.texts, ensure_ascii=True, sort_keys=True).encode("ascii")
    tensors: dict[str, np.ndarray] = {k: np.ascontiguousarray(v) for k, v in sorted(artefact.tensors.items())}
    tensors[_TEXTS] = np.frombuffer(texts, dtype=np.uint8)
    head: Mapping[str, str] = {
        "head": json.dumps(
            {"format": FORMAT, "kind": artefact.kind, "settings": artefact.settings},
            sort_keys=True,
            ensure_ascii=True,
        )
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, str(path), metadata=dict(head))
    return digest(path)


def digest(path: Path) -> str:
    """SHA-256 of a file, as hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read(path: Path) -> Artefact:
    """The artefact in a file. Raises LocalModelFailed when the file is anything else."""
    try:
        with safe_open(str(path), framework="np") as file:
            head = json.loads((file.metadata() or {})["head"])
            if head["format"] != FORMAT or head["kind"] not in KINDS:
                raise KeyError("format")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
        texts = json.loads(tensors.pop(_TEXTS).tobytes())
        return Artefact(head["kind"], dict(head["settings"]), tensors, texts)
    except FileNotFoundError:
        raise LocalModelFailed("The trained model's file is gone. Train it again.") from None
    except (SafetensorError, KeyError, ValueError, TypeError, OSError):
        raise LocalModelFailed("This file is not a model trained by this portal.") from None
