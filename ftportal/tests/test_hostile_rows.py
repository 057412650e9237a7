"""Text made to run (T34): in rows, labels, names of columns and files, a model's words, reasons and notes; on every page of data.

Each page is read twice: as markup, by a parser that knows what the portal itself writes, and in Chromium, which would run it.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from html.parser import HTMLParser
from urllib.parse import quote, urlsplit

import pytest
from django.urls import reverse

from datasets import services
from datasets.models import Example, Finding, QualityRun
from datasets.services import labels
from datasets.services.exports import EXPORTS
from datasets.tests.hostile import PAYLOADS
from decisions.services import create_use_case
from foundation.files import store
from foundation.jobs.services import run_until_idle
from foundation.llm.testing.stub_upstream import StubUpstream
from foundation.llm.tests.conftest import make_connection
from foundation.ui.testing import assert_no_csp_violations
from ftportal.testing.walk import addresses

LABELS = [text for text in PAYLOADS if len(text) <= 100][:12]


def rows() -> list[dict]:
    """A row for each payload, each in the text, one of them as label, some as group, as name of a column and its value."""
    out = []
    for i, text in enumerate(PAYLOADS):
        row = {
            "text": f"{text} asks row {i}",
            "label": LABELS[i % len(LABELS)],
            "group": PAYLOADS[-i - 1][:150],
        }
        row[PAYLOADS[i % 5]] = text
        if i % 9 == 0:
            row["text"] += " or write to ada@example.org"
        out.append(row)
    # Copies, a contradiction and a repaired text, so that every kind of finding has its page.
    return [*out, out[0], {**out[1], "label": LABELS[5]}, {**out[2], "text": out[2]["text"] + " CafÃ©"}]


def conversations() -> list[dict]:
    """The same as system prompts, earlier turns and tools."""
    return [
        {
            "messages": [
                {"role": "system", "content": text},
                {"role": "user", "content": f"first {text}"},
                {"role": "assistant", "content": f"then {text}", "name": text[:60]},
                {"role": "user", "content": f"{text} number {i}"},
                {"role": "assistant", "content": LABELS[i % len(LABELS)]},
            ],
            "tools": [{"type": "function", "function": {"name": text[:60], "description": text}}],
        }
        for i, text in enumerate(PAYLOADS[:12])
    ]


def _bring(admin, team, dataset, data, name):
    blob = store.put(team=team, stream=data, name=name, kind="import", actor=admin)
    staged = services.stage_upload(actor=admin, dataset=dataset, blob=blob, name=name)
    return staged


@pytest.fixture
def hostile(admin_user, team, settings, tmp_path):
    """A dataset that holds nothing but such text, with everything that can be done to it done once."""
    settings.FILES_DIR = tmp_path / "files"
    actor = admin_user
    use_case = create_use_case(
        actor=actor, team=team, name=f"Use {PAYLOADS[0]}"[:190], task_kind="classify", description=PAYLOADS[6]
    )
    dataset = services.create_dataset(
        actor=actor,
        team=team,
        use_case=use_case,
        name=f"Data {PAYLOADS[11]}"[:190],
        description=" ".join(PAYLOADS[:20]),
        licence=PAYLOADS[20][:200],
    )
    for number, data in enumerate((rows(), conversations())):
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in data)
        if number == 0:
            text += "{" + PAYLOADS[3] + "\n" + json.dumps({PAYLOADS[4]: 1}) + "\n"
        staged = _bring(actor, team, dataset, text.encode(), f"{PAYLOADS[number]}.jsonl")
        services.start_import(actor=actor, import_=staged, skip_bad_rows=True)
        assert run_until_idle(120)
        staged.refresh_from_db()
        assert staged.state == "done", staged.error
    draft = _bring(
        actor,
        team,
        dataset,
        ",".join(f'"{p.replace(chr(34), chr(34) * 2)}"' for p in PAYLOADS[:9] if "\n" not in p).encode()
        + b"\n"
        + b"a,b,c\n" * 3,
        f"{PAYLOADS[7]}.csv",
    )
    dataset.refresh_from_db()
    issue = {
        "clarity": 0.1,
        "quality": 0.1,
        "relevance": 0.1,
        "completeness": 0.1,
        "overall": 0.1,
        "issues": PAYLOADS[:10],
    }
    with StubUpstream(latency_ms=1, script=[{"fault": "say", "text": json.dumps(issue)}]) as stub:
        make_connection(team, stub.url)
        judged = services.start_quality(actor=actor, dataset=dataset, size=20)
        assert run_until_idle(60)
    for finding in Finding.objects.filter(run=dataset.checks, rule__in=["pii", "encoding"]):
        services.apply_fix(actor=actor, finding=finding)
    change = labels.start_rename(
        actor=actor, dataset=dataset, from_label=LABELS[0], to_label=PAYLOADS[30][:150]
    )
    assert run_until_idle(60)
    review = services.plan_review(actor=actor, dataset=dataset, most_needed=20)
    item = review.items.order_by("position").first()
    services.review_example(actor=actor, item=item, verdict="rejected", reason=PAYLOADS[33][:250])
    versions = []
    for seed in (PAYLOADS[40][:60], PAYLOADS[41][:60]):
        example = Example.objects.filter(dataset=dataset).active().order_by("id").last()
        services.edit_example(
            actor=actor,
            example=example,
            edition=example.edition,
            prompt=f"edited {seed} {PAYLOADS[50]}",
            completion=LABELS[1],
        )
        version = services.start_freeze(
            actor=actor,
            dataset=dataset,
            seed=seed,
            override_reason=f"because {PAYLOADS[42]}",
            notes=PAYLOADS[43],
        )
        assert run_until_idle(120)
        version.refresh_from_db()
        assert version.is_frozen, version.error
        services.annotate(actor=actor, version=version, notes=PAYLOADS[44], tags=PAYLOADS[45:50])
        versions.append(version)
    services.open_test_rows(actor=actor, version=versions[1], reason=f"to look {PAYLOADS[51]}")
    return {
        "dataset": dataset,
        "draft": draft,
        "judged": judged,
        "review": review,
        "versions": versions,
        "change": change,
    }


def pages(hostile, team, user) -> list[str]:
    """Every address of data there is, and those with filters, other rows and another version in them."""
    dataset, (first, second) = hostile["dataset"], hostile["versions"]
    found = {
        a.path
        for a in addresses(team, user)
        if a.name.startswith(("datasets:", "training:", "jobs:job", "decisions:use-case", "teams:inbox"))
    }
    example_list = reverse("datasets:example-list", args=[dataset.pk])
    found |= {reverse("datasets:import-detail", args=[i.pk]) for i in dataset.imports.all()} | {
        reverse("datasets:finding-detail", args=[f.pk]) for f in Finding.objects.filter(run=dataset.checks_id)
    }
    found |= {
        reverse("datasets:example-detail", args=[pk])
        for pk in Example.objects.filter(dataset=dataset).values_list("pk", flat=True)[:160:50]
    }
    found |= {f"{example_list}?q={quote(text)}" for text in PAYLOADS[:3]} | {
        f"{example_list}?label={quote(LABELS[2])}",
        f"{example_list}?state=rejected",
    }
    found |= {
        reverse("datasets:version-rows", args=[second.pk]) + f"?split={split}"
        for split in ("train", "validation", "test")
    }
    found |= {
        reverse("datasets:version-diff", args=[second.pk, first.number]) + f"?kind={kind}"
        for kind in ("added", "removed", "changed", "moved")
    }
    found |= {reverse("datasets:review-detail", args=[hostile["review"].pk]) + f"?at={n}" for n in (1, 2)}
    found |= {reverse("datasets:quality-detail", args=[run.pk]) for run in QualityRun.objects.all()}
    return sorted(found)


# --- as markup ---------------------------------------------------------------------------------------------------

NEVER = frozenset(
    "iframe object embed base applet frame frameset marquee isindex keygen plaintext xmp video audio math foreignobject animate set portal".split()
)
OWN_SCRIPTS = re.compile(r"^/static/")


class Reader(HTMLParser):
    """Notes everything in a page that the portal would not have written itself."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.wrong: list[str] = []
        self.in_script = False
        self.n_tags = 0

    def handle_starttag(self, tag, attrs):
        """One tag with its attributes."""
        self.n_tags += 1
        if tag in NEVER:
            self.wrong.append(f"<{tag}>")
        self.in_script = tag == "script"
        given = dict(attrs)
        if tag == "script" and not (
            OWN_SCRIPTS.match(given.get("src") or "")
            or given.get("type") in ("application/json", "importmap")
        ):
            self.wrong.append(f"a script without an address of ours: {attrs}")
        if tag == "meta" and (given.get("http-equiv") or "").lower() == "refresh":
            self.wrong.append("a refresh")
        for name, value in attrs:
            value = value or ""
            if name.startswith("on") or (
                name.startswith(("hx-", "data-hx-"))
                and ("alert(" in value or "attack.example" in value or "js:" in value)
            ):
                self.wrong.append(f"{name}={value[:80]}")
            if name in (
                "href",
                "src",
                "action",
                "formaction",
                "data",
                "xlink:href",
                "srcdoc",
                "background",
                "poster",
                "hx-get",
                "hx-post",
            ):
                parts = urlsplit(value.strip())
                if (
                    parts.scheme not in ("", "http", "https", "mailto")
                    or parts.netloc not in ("", "testserver")
                    or "alert(" in parts.path
                ):
                    self.wrong.append(f"{name}={value[:80]}")
            if name == "style":
                self.wrong.append(f"style={value[:80]}")

    def handle_data(self, data):
        """Text: in a script it would be code."""
        if self.in_script and "alert(" in data:
            self.wrong.append("text in a script")
        self.in_script = False


@pytest.mark.django_db(transaction=True)
def test_no_page_of_data_lets_text_become_markup_and_no_file_runs(hostile, team, admin_user, client_for):
    client = client_for(admin_user)
    n_seen = n_with = 0
    problems = []
    for path in pages(hostile, team, admin_user):
        answer = client.get(path)
        assert answer.status_code in (200, 302, 400, 403, 404, 405), (path, answer.status_code)
        if answer.status_code != 200 or "html" not in answer["Content-Type"]:
            continue
        body = answer.content.decode()
        reader = Reader()
        reader.feed(body)
        problems += [f"{path}: {wrong}" for wrong in reader.wrong]
        n_seen += 1
        n_with += "alert(" in body
    assert n_seen > 50 and n_with > 35, (n_seen, n_with)
    assert not problems, "\n".join(problems[:40])
    check_files(hostile, client)


def test_the_reader_sees_what_it_should():
    """A guard that finds nothing because it looks at nothing is worse than none."""
    blind = []
    for text in PAYLOADS:
        reader = Reader()
        reader.feed(f"<p>{text}</p>")
        if not reader.wrong and re.match(
            r"\s*<(script|img|svg|iframe|a href|body|input|details|video|audio|div hx|form hx)", text, re.I
        ):
            blind.append(text)
    # An image of another host is no attribute that runs: the policy of the page refuses it, and the browser's walk asks.
    assert len(blind) <= 3, blind


def check_files(hostile, client):
    """Downloads are attachments that no browser opens as a page; Markdown holds no markup of strangers."""
    dataset, version = hostile["dataset"], hostile["versions"][1]
    found = {
        "report": reverse("datasets:report-csv", args=[dataset.pk]),
        "bad rows": reverse("datasets:import-bad-rows", args=[dataset.imports.order_by("pk").first().pk]),
        "datasheet": reverse("datasets:version-datasheet", args=[version.pk]) + "?as=md",
        "folder": reverse("datasets:version-folder", args=[version.pk]),
        **{key: reverse("datasets:version-export", args=[version.pk, "train", key]) for key in EXPORTS},
    }
    texts = {}
    for name, path in found.items():
        answer = client.get(path)
        assert answer.status_code == 200, name
        assert answer["Content-Disposition"].startswith("attachment"), name
        assert answer["X-Content-Type-Options"] == "nosniff", name
        assert "html" not in answer["Content-Type"], name
        disposition = answer["Content-Disposition"]
        assert not set(disposition) & set("<>\r\n"), disposition
        body = b"".join(answer.streaming_content) if getattr(answer, "streaming", False) else answer.content
        texts[name] = body
    sheet = texts["datasheet"].decode()
    assert not re.search(r"(?<!\\)<|(?<!\\)\]\(", sheet), "markup of strangers in the datasheet"
    with zipfile.ZipFile(io.BytesIO(texts["folder"])) as folder:
        card = folder.read("README.md").decode().split("---", 2)[2]
    assert not re.search(r"(?<!\\)<|(?<!\\)\]\(", card), "markup of strangers in the card"
    for line in texts["chat"].splitlines():
        json.loads(line)


# --- in a browser ------------------------------------------------------------------------------------------------

LOOK = """() => [...document.querySelectorAll("*")].flatMap((e) => [...e.attributes]
  .filter((a) => a.name.startsWith("on") || (/^(data-)?hx-/.test(a.name) && /alert|attack|js:/.test(a.value)))
  .map((a) => `${e.tagName} ${a.name}=${a.value}`))"""


@pytest.mark.browser
@pytest.mark.django_db(transaction=True)
def test_no_page_of_data_runs_what_a_row_says(hostile, team, admin_user, page_as, live_server):
    page = page_as(admin_user)
    happened = []
    page.on("dialog", lambda dialog: (happened.append(f"dialog on {page.url}"), dialog.dismiss()))
    page.on(
        "request",
        lambda asked: (
            happened.append(asked.url)
            if not asked.url.startswith((live_server.url, "data:", "blob:"))
            else None
        ),
    )
    n = 0
    for path in pages(hostile, team, admin_user):
        if any(word in path for word in (".csv", "/export/train", "/folder/")):
            continue
        page.goto(path)
        n += 1
        assert_no_csp_violations(page)
        assert page.evaluate(LOOK) == [], path
        assert urlsplit(page.url).path == urlsplit(path).path or page.url.startswith(live_server.url)
    assert n > 50
    assert happened == []
