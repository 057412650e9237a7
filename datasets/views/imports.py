"""Files on their way in: choosing one, its columns and preview, its progress, what it brought."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_GET, require_POST

from datasets import importing, policies, presenting, services
from datasets.domain.conversations import ROW_FIELDS
from datasets.domain.layouts import Layout
from datasets.domain.mapping import ColumnMapping
from datasets.domain.records import NAMELESS, converter
from datasets.domain.statuses import ImportState
from datasets.errors import NothingToDo
from datasets.forms import PARTS, MappingForm
from datasets.models import Dataset, Import
from datasets.services.imports import SHOWN_ERRORS
from foundation.files import store
from foundation.files.errors import TooLarge
from foundation.teams.errors import BadInput
from foundation.ui import htmx
from foundation.ui.downloads import Download

SHOWN_COLUMNS = 12
MAX_PASTE_BYTES = 10 * 1024 * 1024
STARTABLE = (ImportState.DRAFT, ImportState.FAILED, ImportState.CANCELLED)


def import_create(request: HttpRequest, dataset: Dataset) -> HttpResponse:
    """Choose a file, drop it, or paste rows. Nothing is read yet but its beginning."""
    error, status, pasted = "", 200, ""
    if request.method == "POST":
        pasted = request.POST.get("pasted", "").replace("\r\n", "\n")
        upload = request.FILES.get("file")
        try:
            policies.check_can_change(dataset)
            if upload is not None:
                stream, name, source = upload.file, upload.name or "upload", "upload"
            elif pasted.strip():
                data = pasted.encode("utf-8", "replace")
                if len(data) > MAX_PASTE_BYTES:
                    raise BadInput("More than 10 MB was pasted. Save it as a file and choose that.")
                stream, name, source = data, "pasted rows", "paste"
            else:
                raise BadInput("Choose a file, drop one, or paste some rows.")
            blob = store.put(team=dataset.team, stream=stream, name=name, kind="import", actor=request.user)
            staged = services.stage_upload(
                actor=request.user, dataset=dataset, blob=blob, name=name, source=source
            )
            return htmx.redirect(request, "datasets:import-detail", staged.pk)
        except (BadInput, TooLarge) as refused:
            error, status = str(refused), 422
    context = {
        "dataset": dataset,
        "lineage": presenting.lineage(dataset),
        "error": error,
        "pasted": pasted if error else "",
    }
    return htmx.render_page(request, "datasets/import_create.html", None, context, status=status)


def _form(import_: Import, data: object = None) -> MappingForm:
    layout = Layout.from_json(import_.layout)
    initial = {
        **import_.mapping,
        "encoding": layout.encoding,
        "skip_bad_rows": import_.skip_bad_rows,
    }
    return MappingForm(data, layout=layout, repeats=import_.repeats_id is not None, initial=initial)


def _preview_context(import_: Import, mapping: ColumnMapping, encoding: str = "") -> dict[str, object]:
    layout = Layout.from_json({**import_.layout, **({"encoding": encoding} if encoding else {})})
    field, problem = mapping.problem(layout.columns)
    if problem:
        return {"import": import_, "layout": layout, "problem": problem, "problem_field": field}
    converter(mapping)
    found = importing.preview(import_.blob, layout, mapping, task_kind=import_.dataset.use_case.task_kind)
    labels = list(found.labels.items())
    fields = ROW_FIELDS if mapping.messages else frozenset()
    return {
        "import": import_,
        "layout": layout,
        "preview": found,
        "others": [c for c in layout.columns if c not in mapping.columns | NAMELESS | fields],
        "fields": [c for c in layout.columns if c in fields - mapping.columns],
        "are_kept": mapping.others != "drop",
        "labels": labels[:10],
        "n_more_labels": max(0, len(labels) - 10),
        "has_labels": bool(labels),
        # Where the label is the answer, one column says it.
        "has_answers": not labels
        or any("parts" in row and row["parts"].completion != row["parts"].label for row in found.rows),
        # A class repeats. Where nearly every row has its own, the column is likely a number or the text itself.
        "is_odd_label": len(labels) > 20 and 2 * len(labels) > found.n_good,
    }


def _others(import_: Import) -> str:
    """What became of the columns without a part, in words; of those left out, how many rows had them."""
    if import_.mapping.get("others") != "drop":
        return "kept with each row"
    counts = sorted(import_.left_out.items(), key=lambda item: (-item[1], item[0]))
    shown = [f"{name[:60]} in {n:,} row{'' if n == 1 else 's'}" for name, n in counts[:SHOWN_COLUMNS]]
    more = [f"{len(counts) - SHOWN_COLUMNS:,} more"] if len(counts) > SHOWN_COLUMNS else []
    return f"left out: {', '.join([*shown, *more])}" if shown else "left out"


def import_detail(request: HttpRequest, import_: Import) -> HttpResponse:
    """A draft shows its columns and preview, a running one its progress, a finished one what it brought."""
    context = {
        "import": import_,
        "dataset": import_.dataset,
        "lineage": presenting.lineage(import_.dataset),
        "job": import_.job,
    }
    layout = Layout.from_json(import_.layout)
    context["summary"] = [
        ("Format", f"{layout.name}, {importing.ENCODINGS.get(layout.encoding, layout.encoding)}"),
        *((PARTS[part][0], column) for part, column in import_.mapping.items() if column and part in PARTS),
        ("Other columns", _others(import_)),
        ("Bad rows", "skipped" if import_.skip_bad_rows else "none allowed"),
        ("File", f"sha256 {import_.blob.sha256}"),
    ]
    if import_.state in STARTABLE:
        mapping = ColumnMapping.from_json(import_.mapping)
        context |= {"form": _form(import_), **_preview_context(import_, mapping)}
    if import_.state in (ImportState.DONE, ImportState.FAILED, ImportState.CANCELLED):
        context |= {"bad_rows": list(import_.bad_rows.all()[:SHOWN_ERRORS]), "n_shown": SHOWN_ERRORS}
    return htmx.render_page(request, "datasets/import_detail.html", None, context)


@require_POST
def import_preview(request: HttpRequest, import_: Import) -> HttpResponse:
    """The preview under the columns as they stand in the form. Stores nothing."""
    form = _form(import_, request.POST)
    if not form.is_valid():
        context: dict[str, object] = {"import": import_, "problem": "Choose columns of this file."}
    else:
        context = _preview_context(import_, form.mapping, form.cleaned_data["encoding"])
    return htmx.render_page(request, "datasets/_import_preview.html", None, context)


@require_POST
def import_start(request: HttpRequest, import_: Import) -> HttpResponse:
    """Take the columns of the form and start reading."""
    if import_.state in (ImportState.RUNNING, ImportState.DONE):
        return htmx.redirect(request, "datasets:import-detail", import_.pk)
    form = _form(import_, request.POST)
    if form.is_valid():
        try:
            import_ = services.set_mapping(
                actor=request.user,
                import_=import_,
                mapping=form.mapping,
                encoding=form.cleaned_data["encoding"],
                skip_bad_rows=form.cleaned_data["skip_bad_rows"],
            )
            services.start_import(
                actor=request.user, import_=import_, again=bool(form.cleaned_data.get("again"))
            )
            return htmx.redirect(request, "datasets:import-detail", import_.pk)
        except NothingToDo:
            return htmx.redirect(request, "datasets:import-detail", import_.pk)
        except BadInput as error:
            form.refuse(error)
    context = {
        "import": import_,
        "dataset": import_.dataset,
        "lineage": presenting.lineage(import_.dataset),
        "form": form,
    }
    mapping = form.mapping if form.cleaned_data else ColumnMapping.from_json(import_.mapping)
    context |= _preview_context(import_, mapping)
    return htmx.render_page(request, "datasets/import_detail.html", None, context, status=422)


@require_GET
def import_bad_rows(request: HttpRequest, import_: Import) -> Download:
    """Every bad row as CSV."""
    return Download(
        services.bad_rows_csv(import_=import_),
        name=f"bad-rows-{import_.pk}.csv",
        content_type="text/csv; charset=utf-8",
    )


@require_POST
def import_discard(request: HttpRequest, import_: Import) -> HttpResponse:
    """Take away a staged file that was never imported."""
    dataset = import_.dataset
    services.discard_import(actor=request.user, import_=import_)
    htmx.toast(request, "The staged file was put aside. Nothing was imported.")
    return htmx.redirect(request, "datasets:dataset-detail", dataset.pk)
