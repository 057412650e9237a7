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

from foundation.jobs.kinds import all_kinds

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


@cache
def _relations() -> frozenset[str]:
    """Names of foreign keys: `dataset=dataset` narrows to a row the route has found, `pk=4` narrows to nobody."""
    own = (model for model in apps.get_models() if model.__module__.split(".")[0] in FLOORS)
    return frozenset(
        f.name for model in own for f in model._meta.get_fields() if f.many_to_one and f.concrete
    )


def _is_narrowed(keyword: ast.keyword) -> bool:
    """Whether this argument ties the rows to a row the view holds (not to a number somebody sent)."""
    path = (keyword.arg or "").removesuffix("__in").split("__")
    return path[-1] in _relations() and isinstance(keyword.value, ast.Name | ast.Attribute)


def _reads_unscoped(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Places where a view begins a query with neither a team nor a person nor a row it was given."""
    inner: set[ast.AST] = set()
    for node in ast.walk(tree):
        # ast.walk goes from the outside in: the first call of a chain that we meet is its last link.
        if isinstance(node, ast.Call) and node not in inner:
            keywords, links, at = list(node.keywords), [], node.func
            while isinstance(at, ast.Attribute):
                links.append(at.attr)
                at = at.value
                if isinstance(at, ast.Call):
                    inner.add(at)
                    keywords += at.keywords
                    at = at.func
            manager = next((n for n, link in enumerate(links) if link in MANAGERS), None)
            if manager is not None:
                model = links[manager + 1] if manager + 1 < len(links) else getattr(at, "id", "")
                is_fine = model in OF_NO_TEAM or set(links) & NARROWED or any(map(_is_narrowed, keywords))
                if not is_fine:
                    yield node.lineno, ast.unparse(node)[:80]
            if isinstance(node.func, ast.Name) and node.func.id in SHORTCUTS:
                # Only a model names all its rows; `review.items` and a queryset built above are narrowed already.
                first = node.args[0] if node.args else None
                if isinstance(first, ast.Name) and first.id[0].isupper():
                    yield node.lineno, ast.unparse(node)[:80]


def test_views_find_rows_only_through_the_team_or_the_person():
    """Langflow CVE-2026-55255: one helper fetched an object by its id without asking whose it is."""
    wrong = []
    for name, tree in _modules():
        stem = Path(name).stem
        if stem in {"views", "api"} or "/views/" in name:
            wrong += [f"{name}:{line} {what}" for line, what in _reads_unscoped(tree)]
    assert wrong == [], "begin with .visible_to(user) or .of(team), or let object_path find the row"


@pytest.mark.parametrize(
    ("code", "is_found"),
    [
        ("X.objects.get(pk=1)", True),
        ("X.objects.filter(name=name).first()", True),
        ("X.objects.filter(dataset=request.POST['dataset'])", True),
        ("X.objects.all()", True),
        ("models.X.objects.select_related('team').get(pk=pk)", True),
        ("get_object_or_404(X, pk=1)", True),
        ("X._default_manager.count()", True),
        ("X.objects.of(team).filter(a=1)", False),
        ("X.objects.visible_to(user).get(pk=1)", False),
        ("X.objects.filter(job__team=team).order_by('x')", False),
        ("X.objects.newest().filter(dataset=dataset, pk=1)", False),
        ("X.objects.filter(version=comparison.version)", False),
        ("get_object_or_404(review.items.select_related('x'), pk=1)", False),
        ("row.save()", False),
    ],
)
def test_the_guard_on_views_sees_what_it_should(code, is_found):
    assert bool(list(_reads_unscoped(ast.parse(code)))) is is_found


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
    current_app.loader.import_default_modules()
    own = sorted(name for name in current_app.tasks if not name.startswith("celery."))
    routes = current_app.conf.task_routes or {}
    labels = {config.label for config in apps.get_app_configs()}
    assert own, "no task is registered"
    assert [
        name for name in own if name not in routes and not getattr(current_app.tasks[name], "queue", "")
    ] == []
    assert [name for name in own if name.split(".")[0] not in labels] == []


def test_nobody_publishes_past_the_doorbell():
    """A `.delay()` in a request waits for the broker, and is lost with it (RELIABILITY: 45 s with a frozen one)."""
    wrong = []
    for name, tree in _modules():
        for call in _calls(tree):
            called = getattr(call.func, "attr", "")
            if called in {"delay", "apply_async", "send_task"} and name != "foundation/jobs/doorbell.py":
                wrong.append(f"{name}:{call.lineno} {called}")
    assert wrong == []


@pytest.mark.django_db
def test_no_migration_is_missing():
    """A table that is not as its model says fails on somebody else's machine, later."""
    out = StringIO()
    try:
        call_command("makemigrations", check=True, dry_run=True, stdout=out, stderr=out)
    except SystemExit:
        pytest.fail(out.getvalue())


def test_every_table_of_ours_is_in_the_admin():
    """The admin is the repair room: a table that is not there cannot be looked at when it matters."""
    from django.apps import apps
    from django.contrib import admin

    ours = ("teams", "files", "jobs", "llm", "decisions", "datasets", "evaluations", "deployments")
    missing = [
        model._meta.label
        for model in apps.get_models()
        if model._meta.app_label in ours and not admin.site.is_registered(model)
    ]
    assert missing == []


def test_work_that_takes_back_or_throws_away_says_so_before_it_is_cancelled():
    """The dialog once promised for every kind that what is done is kept; a cancelled fix was taken back all the same."""
    said = {kind.name: kind.when_cancelled for kind in all_kinds()}
    kept = {name for name, words in said.items() if words == "What is done is kept."}
    assert not kept & {
        "datasets.fix", "datasets.import", "datasets.freeze", "datasets.mix", "datasets.checks", "datasets.review",
    }  # fmt: skip
    assert "goes back to how it was" in said["datasets.fix"]
    # Kinds that tests bring along (foundation/jobs/testing) cancel nothing that people see.
    own = [kind for kind in all_kinds() if not kind.name.startswith("test.")]
    undoing = {kind.name for kind in own if "abandoned" in vars(type(kind)) and not kind.cancelling}
    assert not undoing, "what ends by `abandoned` does more than stop: say in `cancelling` what is kept"
