"""The process that trains: `python -m datasets.training.child <folder>`.

Reads `recipe.json`, `train.jsonl` and `validation.jsonl` from the folder, prints progress as JSON lines, leaves
`model.safetensors`. With `choose_inside` in the recipe the rows of `train.jsonl` say themselves whether they choose
the settings; rows of `held.jsonl` are answered into `answers.jsonl`. It asks no database: its parent does, before and
after.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import django

MODEL_FILE = "model.safetensors"
ANSWERS_FILE = "answers.jsonl"


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
    given = list(read_rows(folder / "train.jsonl"))
    train = [fitting.TrainRow(*row[:2]) for row in given]
    told = {"say": say, "seed": recipe["seed"]}
    if recipe.get("choose_inside"):
        inner = [bool(row[2]) for row in given]
        fitted, seconds = fitting.timed(
            fitting.fit_inside, backend.train, train, inner, recipe["settings"], **told
        )
    else:
        validation = [fitting.TrainRow(*row) for row in read_rows(folder / "validation.jsonl")]
        fitted, seconds = fitting.timed(backend.train, train, validation, recipe["settings"], **told)
    held = folder / "held.jsonl"
    if held.exists():
        answer_held(fitted.model, held, folder / ANSWERS_FILE)
        say(1, 1, "answered", metrics=fitted.metrics, seconds=round(seconds, 3), file=ANSWERS_FILE)
        return
    fitted.model.save(folder / MODEL_FILE)
    say(1, 1, "trained", metrics=fitted.metrics, seconds=round(seconds, 3), file=MODEL_FILE)


def answer_held(model: Any, held: Path, out: Path) -> None:
    """Answer the held rows, [key, text] a line, as [key, answer, confidence] a line."""
    rows = read_rows(held)
    answers = model.answer([text for _, text in rows])
    with out.open("w", encoding="utf-8") as file:
        for (key, _), answer in zip(rows, answers, strict=True):
            file.write(json.dumps([key, answer.text, round(float(answer.confidence), 6)]) + "\n")


def read_rows(path: Path) -> list[list[Any]]:
    """One JSON array a line."""
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
    except ValueError as error:
        # One sentence for the person who started it; anything else keeps its traceback for the log.
        sys.exit(str(error))
