"""Guards: they read the project itself. Each says what went wrong, here or elsewhere, without it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from io import StringIO
from pathlib import Path

import pytest
from celery import current_app
from django.apps import apps
from django.conf import settings
from django.core.management import call_command

ROOT = Path(settings.BASE_DIR)
FLOORS = ["foundation", "decisions", "datasets", "evaluations", "deployments", "ftportal"]


@cache
def _modules() -> tuple[tuple[str, ast.Module], ...]:
    found = []
    for floor in FLOORS:
        for path in sorted((ROOT / floor).rglob("*.py")):
            parts = path.relative_to(ROOT).parts
            if "tests" not in parts and "migrations" not in parts:
                found.append((path.relative_to(ROOT).as_posix(), ast.parse(path.read_text(), str(path))))
    return tuple(found)


@cache
def _templates() -> tuple[tuple[str, str], ...]:
    return tuple(
        (path.relative_to(ROOT).as_posix(), path.read_text())
        for folder in [ROOT / "templates", *ROOT.glob("*/templates"), *ROOT.glob("foundation/*/templates")]
        for path in sorted(folder.rglob("*"))
        if path.suffix in {".html", ".svg", ".txt"}
    )


def _calls(tree: ast.AST) -> Iterator[ast.Call]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def test_there_is_something_to_guard():
    assert len(_modules()) > 50 and len(_templates()) > 30


# --- words --------------------------------------------------------------------------------------------------


def test_every_public_function_says_what_the_caller_gets():
    """Without it the reader has to run the function in the head to learn its unit."""
    silent = []
    for name, tree in _modules():
        for node in tree.body:
            is_public = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name[0] != "_"
            if is_public and not ast.get_docstring(node):
                silent.append(f"{name}:{node.lineno} {node.name}")
    assert silent == []


def test_there_is_no_drawer_for_everything():
    """A file called utils collects what nobody finds again."""
    assert [name for name, _ in _modules() if Path(name).stem in {"utils", "helpers", "misc", "common"}] == []


# --- who may know whom --------------------------------------------------------------------------------------

FRAMEWORKS = {"django", "celery", "anthropic", "redis", "requests", "httpx", "allauth", "ninja"}
CLOCKS = {"datetime.now", "datetime.utcnow", "date.today", "time.time", "time.monotonic", "timezone.now"}


def test_rules_know_no_framework_and_no_clock():
    """A rule that asks the clock or the database cannot be tested as a table of cases."""
    wrong = []
    for name, tree in _modules():
        if "/domain/" not in name:
            continue
        for node in ast.walk(tree):
            roots = []
            if isinstance(node, ast.Import):
                roots = [alias.name.split(".")[0] for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                roots = [(node.module or "").split(".")[0]]
            wrong += [f"{name}:{node.lineno} imports {root}" for root in roots if root in FRAMEWORKS]
        for call in _calls(tree):
            if ast.unparse(call.func) in CLOCKS:
                wrong.append(f"{name}:{call.lineno} asks the clock")
            if ast.unparse(call.func) in {"open", "io.open"}:
                wrong.append(f"{name}:{call.lineno} opens a file")
    assert wrong == []


# --- rows of other teams ------------------------------------------------------------------------------------

# What may follow `Model.objects` in a view: querysets that are already narrowed to a team, a person or a row.
NARROWED = {"visible_to", "of", "about", "none"}
MANAGERS = {"objects", "_default_manager", "_base_manager"}
# Tables of the whole portal, which belong to no team.
OF_NO_TEAM = {"WorkerSeen", "ModelEntry", "ModelPrice"}
SHORTCUTS = {"get_object_or_404", "get_list_or_404", "aget_object_or_404"}


def _reads_unscoped(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Places where a view begins a query with neither a team nor a person."""
    of_a_team = {
        call.func
        for call in _calls(tree)
        if any(k.arg and (k.arg == "team" or k.arg.endswith("__team")) for k in call.keywords)
    }
    for node in ast.walk(tree):
        begins = isinstance(node, ast.Attribute) and isinstance(node.value, ast.Attribute)
        if begins and node.value.attr in MANAGERS and node.attr not in NARROWED and node not in of_a_team:
            if ast.unparse(node.value.value) not in OF_NO_TEAM:
                yield node.lineno, ast.unparse(node)
        elif isinstance(node, ast.Name) and node.id in SHORTCUTS:
            yield node.lineno, node.id


def test_views_find_rows_only_through_the_team_or_the_person():
    """Langflow CVE-2026-55255: one helper fetched an object by its id without asking whose it is."""
    wrong = []
    for name, tree in _modules():
        stem = Path(name).stem
        if stem == "views" or "/views/" in name:
            wrong += [f"{name}:{line} {what}" for line, what in _reads_unscoped(tree)]
    assert wrong == [], "begin with .visible_to(user) or .of(team), or let object_path find the row"


def test_the_guard_on_views_sees_what_it_should():
    bad = "X.objects.get(pk=1)\nY.objects.filter(a=1)\nget_object_or_404(X, pk=1)\nX._default_manager.all()"
    good = (
        "X.objects.of(team).filter(a=1)\nX.objects.visible_to(user).get(pk=1)\nX.objects.filter(job__team=t)"
    )
    assert len(list(_reads_unscoped(ast.parse(bad)))) == 4
    assert list(_reads_unscoped(ast.parse(good))) == []


FILTERING = {
    "filter",
    "exclude",
    "get",
    "order_by",
    "annotate",
    "aggregate",
    "values",
    "update",
    "create",
    "get_or_create",
}


def test_what_people_send_is_never_unpacked_into_a_query():
    """Label Studio CVE-2023-47117, Django CVE-2025-64459: `filter(**request.GET)` led to password hashes."""
    wrong = []
    for name, tree in _modules():
        for call in _calls(tree):
            if isinstance(call.func, ast.Attribute) and call.func.attr in FILTERING:
                unpacked = [k.value for k in call.keywords if k.arg is None]
                unpacked += [a.value for a in call.args if isinstance(a, ast.Starred)]
                for part in unpacked:
                    if re.search(r"request\.(GET|POST|body|data|headers|COOKIES)", ast.unparse(part)):
                        wrong.append(f"{name}:{call.lineno}")
    assert wrong == []


# --- text of strangers --------------------------------------------------------------------------------------

# Who may say that a text is safe HTML: the page parts and charts, which escape what they are given.
MAY_MARK_SAFE = ("foundation/ui/",)


def test_only_the_page_parts_say_what_is_safe_html():
    """Label Studio CVE-2025-25296: a reflected text was marked safe far from where it came in."""
    marks = {"mark_safe", "SafeString", "SafeText"}
    wrong = []
    for name, tree in _modules():
        if name.startswith(MAY_MARK_SAFE):
            continue
        for call in _calls(tree):
            called = call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")
            if called in marks:
                wrong.append(f"{name}:{call.lineno} {called}")
    wrong += [
        name for name, text in _templates() if re.search(r"\|\s*safe(seq)?\b|{%\s*autoescape\s+off", text)
    ]
    assert wrong == []


def test_templates_carry_no_inline_script_style_or_handler():
    """One inline handler forces `unsafe-inline` on every page."""
    wrong = []
    for name, text in _templates():
        if not name.endswith(".html"):
            continue
        html = re.sub(r"{#.*?#}|{%\s*comment.*?endcomment\s*%}", "", text, flags=re.S)
        for tag in re.findall(r"<[a-zA-Z][^<>]*>", html):
            bare = re.sub(r"{%.*?%}|{{.*?}}", "", tag, flags=re.S)
            if re.search(r"\sstyle\s*=", bare):
                wrong.append(f"{name}: {tag[:80]}")
            if re.search(r"\son[a-z]+\s*=", bare):
                wrong.append(f"{name}: {tag[:80]}")
            if re.search(r"(href|src|action)\s*=\s*[\"']?\s*javascript:", bare, flags=re.I):
                wrong.append(f"{name}: {tag[:80]}")
        for opening in re.findall(r"<script\b[^>]*>", html):
            if "src=" not in opening and "application/json" not in opening:
                wrong.append(f"{name}: {opening}")
        if "<style" in html:
            wrong.append(f"{name}: <style>")
    assert wrong == []


def test_templates_load_nothing_from_elsewhere():
    """A page that asks another host tells it who reads what, and breaks without the network."""
    loading = "script|link|img|iframe|source|video|audio|object|embed"
    pattern = rf"<(?:{loading})\b[^>]*(?:src|href|data)=[\"'](?:https?:)?//[^\"']*"
    found = [f"{name}: {hit[:90]}" for name, text in _templates() for hit in re.findall(pattern, text)]
    assert found == []


# --- files of strangers -------------------------------------------------------------------------------------

LOADERS = {
    "pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "yaml",
}  # fmt: skip


def test_nothing_is_ever_unpickled():
    """T29; Label Studio ML CVE-2025-5173: loading a file somebody uploaded ran its code."""
    wrong = []
    for name, tree in _modules():
        for node in ast.walk(tree):
            roots = []
            if isinstance(node, ast.Import):
                roots = [alias.name.split(".")[0] for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                roots = [(node.module or "").split(".")[0]]
            wrong += [f"{name}:{node.lineno} imports {root}" for root in roots if root in LOADERS]
        for call in _calls(tree):
            text = ast.unparse(call.func)
            if text in {"torch.load", "eval", "exec", "builtins.eval", "builtins.exec"}:
                wrong.append(f"{name}:{call.lineno} {text}")
            if text in {"numpy.load", "np.load"} and any(
                k.arg == "allow_pickle" and getattr(k.value, "value", False) for k in call.keywords
            ):
                wrong.append(f"{name}:{call.lineno} {text} with pickles")
    assert wrong == []


# --- the record ---------------------------------------------------------------------------------------------

# Functions with an actor that leave no audit event themselves, and why.
NOT_RECORDED = {
    "put": "a stored file alone means nothing; what it was stored for is recorded",
    "update_profile": "about oneself, in no team",
    "has_looked": "changes nothing",
    "replace_contents": "each edit is its own record, with what stood there before",
}


def _called(function: ast.AST) -> set[str]:
    names = set()
    for call in _calls(function):
        if isinstance(call.func, ast.Name):
            names.add(call.func.id)
        elif isinstance(call.func, ast.Attribute) and isinstance(call.func.value, ast.Name):
            names.add(call.func.attr)
    return names


def test_whatever_somebody_does_is_on_record():
    """T38, from the code: a service that takes an actor calls `audit.record`, itself or through another service."""
    functions = [
        (name, node, _called(node))
        for name, tree in _modules()
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and not name.startswith("ftportal/")
    ]
    recording = {"record"}
    while more := {n.name for _, n, called in functions if called & recording} - recording:
        recording |= more
    silent = [
        f"{name}:{node.lineno} {node.name}"
        for name, node, called in functions
        if any(argument.arg == "actor" for argument in node.args.kwonlyargs)
        and not node.name.startswith("_")
        and node.name not in recording | set(NOT_RECORDED)
    ]
    assert silent == []


# --- work ---------------------------------------------------------------------------------------------------


def test_every_task_names_its_queue():
    """A task without one lands in the default queue, behind whatever is long there."""
    nameless = []
    for name, tree in _modules():
        for node in ast.walk(tree):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            for decorator in node.decorator_list:
                called = decorator.func if isinstance(decorator, ast.Call) else decorator
                if ast.unparse(called).split(".")[-1] not in {"shared_task", "task"}:
                    continue
                keywords = {k.arg for k in decorator.keywords} if isinstance(decorator, ast.Call) else set()
                if "queue" not in keywords:
                    nameless.append(f"{name}:{node.lineno} {node.name}")
    assert nameless == []


def test_every_registered_task_is_ours_and_known():
    """Enumerated here, so that "every task, run twice" elsewhere has something to run over."""
    current_app.loader.import_default_modules()
    own = sorted(name for name in current_app.tasks if not name.startswith("celery."))
    labels = {config.label for config in apps.get_app_configs()}
    assert own, "no task is registered"
    assert [name for name in own if name.split(".")[0] not in labels] == []


@pytest.mark.django_db
def test_no_migration_is_missing():
    """A table that is not as its model says fails on somebody else's machine, later."""
    out = StringIO()
    try:
        call_command("makemigrations", check=True, dry_run=True, stdout=out, stderr=out)
    except SystemExit:
        pytest.fail(out.getvalue())
