"""T30: names are text. Eighty nasty ones go in and come out; none reaches the disk or a header unharmed."""

import pytest
from django.urls import reverse

from foundation.files import names, store

DEVICES = ["CON", "con.txt", "PRN", "AUX.csv", "NUL", "COM1", "com9.jsonl", "LPT1.txt", "lpt9"]
NASTY = [
    "", " ", ".", "..", "...", "....//", "../", "../../etc/passwd", "..\\..\\windows\\system32", "/etc/passwd",
    "\\\\server\\share\\x", "C:\\x", "C:x", "file:///etc/passwd", "..%2f..%2fetc", "%2e%2e%2f", "%252e%252e%252f",
    "%00", "a\x00.csv", "\x00", "a\nb.csv", "a\r\nSet-Cookie: x=1", "a\tb", "\x1b[31mred", "\x7f", "a\x85b",
    "\u2028line", "\u2029para", "\u202egpj.exe", "\u200fx", "a\u200bb", "\ufeffbom.csv", "\ud800half", "\udfff",
    "con", *DEVICES, "a" * 4096, "a" * 4096 + ".csv", "é" * 300 + ".jsonl", "😀" * 200, "日本語" * 100 + ".txt",
    "a." + "b" * 300, ".htaccess", ".env", ".ssh/authorized_keys", "-rf", "--help", "~", "~root/.bashrc", "$HOME",
    "`id`", "$(id)", "; rm -rf /", "| cat", "&& x", "<script>alert(1)</script>.csv", "\"quoted\".csv", "'x'.csv",
    "a;b.csv", "a\"; filename=\"evil.exe", "=cmd|' /C calc'!A0.csv", "@SUM(1).csv", "+1.csv", "a:b:c", "a::$DATA",
    "x.csv.", "x.csv ", "x.csv. . .", "  x.csv", "nul.", "a/./b/../c", "//", "\\", "a\\", "aux", "?x=1", "#frag",
    "x" * 255, "🏴‍☠️.csv", "e\u0301.csv", "ﬁle.csv", "\u0000\u0001\u0002", "{{ 7*7 }}", "{% load %}", "%s%n", "*",
]  # fmt: skip


def test_there_are_enough_nasty_names():
    assert len(NASTY) >= 80


@pytest.mark.parametrize("nasty", NASTY, ids=[f"n{i}" for i in range(len(NASTY))])
def test_a_cleaned_name_is_one_harmless_line(nasty):
    name = names.clean(nasty)
    assert 1 <= len(name) <= names.MAX_CHARACTERS
    assert name.isprintable() and not set("/\\:\x00") & set(name)
    assert name not in (".", "..") and not name.startswith(".") and not name.endswith((".", " "))
    assert name.split(".")[0].strip().lower() not in names._DEVICES
    assert names.clean(name) == name, "cleaning again changes nothing"
    name.encode("utf-8")


def test_the_extension_is_kept_and_good_names_stay():
    assert names.clean("tickets 2026-11.csv") == "tickets 2026-11.csv"
    assert names.clean("größe 日本.jsonl") == "größe 日本.jsonl"
    assert names.clean("a" * 400 + ".jsonl").endswith(".jsonl")
    assert names.clean("e\u0301.csv") == "é.csv"
    assert names.clean("..", fallback="export.csv") == "export.csv"


@pytest.mark.django_db
def test_t30_no_name_reaches_the_disk_or_breaks_a_header(team, viewer, client_for, files_dir):
    client = client_for(viewer)
    for number, nasty in enumerate(NASTY):
        data = f"bytes {number}".encode()
        blob = store.put(team=team, stream=data, name=nasty, kind="upload", content_type=nasty)
        assert store.path(blob) == files_dir / blob.sha256[:2] / blob.sha256
        response = client.get(reverse("files:blob-download", args=[blob.pk]))
        assert response.status_code == 200
        disposition = response["Content-Disposition"]
        assert disposition.startswith("attachment") and "\n" not in disposition and "\r" not in disposition
        assert b"".join(response.streaming_content) == data
        exported = store.download_response(blob, filename=nasty)
        assert exported["Content-Disposition"].startswith("attachment")
        exported.file_to_stream.close()  # the response's own close() would end the request, and its database
    on_disk = {p.relative_to(files_dir).as_posix() for p in files_dir.rglob("*") if p.is_file()}
    assert len(on_disk) == len(NASTY)
    assert all(len(p) == 67 for p in on_disk)
    assert {p.name for p in files_dir.parent.iterdir()} == {"files"}, "nothing beside the store"
