"""The process that trains: `python -m datasets.training.child <folder>`.

Reads `recipe.json`, `train.jsonl` and `validation.jsonl` from the folder, prints progress as JSON lines, leaves
`model.safetensors`. It asks no database: its parent does, before and after.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import django

MODEL_FILE = "model.safetensors"


def say(done: int, total: int, step: str, **data: Any) -> None:
    """One line of progress for the parent."""
    print(json.dumps({"done": done, "total": total, "step": step, "data": data}), flush=True)


def main(folder: Path) -> None:
    """Train what the folder asks for."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ftportal.settings")
    django.setup()
    # After setup: the models of the files app stand beside the artefact reader.
    from datasets.training import backends, contract, fitting  # noqa: F401

    recipe = json.loads((folder / "recipe.json").read_text("utf-8"))
    backend = contract.get_backend(recipe["backend"])
    rows = {name: list(read_rows(folder / f"{name}.jsonl")) for name in ("train", "validation")}
    train, validation = ([fitting.TrainRow(*row) for row in rows[name]] for name in ("train", "validation"))
    fitted, seconds = fitting.timed(
        backend.train, train, validation, recipe["settings"], say=say, seed=recipe["seed"]
    )
    fitted.model.save(folder / MODEL_FILE)
    say(1, 1, "trained", metrics=fitted.metrics, seconds=round(seconds, 3), file=MODEL_FILE)


def read_rows(path: Path) -> list[list[str]]:
    """Pairs of text and answer, one JSON array a line."""
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
    except ValueError as error:
        # One sentence for the person who started it; anything else keeps its traceback for the log.
        sys.exit(str(error))
