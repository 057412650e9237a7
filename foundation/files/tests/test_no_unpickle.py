"""T29: nothing in the portal loads what could run code. Without this guard one convenient `load` undoes the store."""

from __future__ import annotations

import ast

import pytest
from django.conf import settings

FORBIDDEN_MODULES = {
    "pickle",
    "cPickle",
    "_pickle",
    "dill",
    "cloudpickle",
    "joblib",
    "shelve",
    "marshal",
    "yaml",
    "jsonpickle",
}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__", "read_pickle", "unpickle"}
# The function is harmless elsewhere; with these owners it unpickles.
LOADERS = {("torch", "load"), ("np", "load"), ("numpy", "load"), ("np", "fromfile"), ("pd", "read_pickle")}


def sources():
    for floor in ("foundation", "decisions", "datasets", "evaluations", "deployments", "ftportal"):
        for path in sorted((settings.BASE_DIR / floor).rglob("*.py")):
            if "tests" not in path.parts:
                yield path


def offences(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (f"import {a.name}" for a in node.names if a.name.split(".")[0] in FORBIDDEN_MODULES)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in FORBIDDEN_MODULES:
            yield f"from {node.module} import"
        elif isinstance(node, ast.Call):
            called = node.func
            if isinstance(called, ast.Name) and called.id in FORBIDDEN_CALLS:
                yield f"{called.id}()"
            owner = getattr(getattr(called, "value", None), "id", "")
            if (owner, getattr(called, "attr", "")) in LOADERS:
                yield f"{owner}.{called.attr}()"
            if any(k.arg == "allow_pickle" and getattr(k.value, "value", True) for k in node.keywords):
                yield "allow_pickle"


def test_t29_no_source_loads_code():
    found = [
        f"{path.relative_to(settings.BASE_DIR)}: {o}"
        for path in sources()
        for o in offences(ast.parse(path.read_text()))
    ]
    assert found == []


@pytest.mark.parametrize(
    "code",
    ["import pickle", "from joblib import load", "torch.load(x)", "np.load(x, allow_pickle=True)", "eval(x)"],
)
def test_the_guard_sees_what_it_should(code):
    assert list(offences(ast.parse(code)))
