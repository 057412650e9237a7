import hashlib
import io
import os
import threading
import time

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from foundation.files import store
from foundation.files.errors import FileMissing, StoreUnwritable, TooLarge
from foundation.files.models import Blob
from foundation.teams.models import Team
from foundation.teams.testing import assert_route_guarded

pytestmark = pytest.mark.django_db


def files_in(folder):
    return sorted(p for p in folder.rglob("*") if p.is_file()) if folder.exists() else []


def test_bytes_come_back_as_they_went_in(team, editor, files_dir):
    data = bytes(range(256)) * 9000
    blob = store.put(team=team, stream=io.BytesIO(data), name="a.bin", kind="upload", actor=editor)
    assert blob.sha256 == hashlib.sha256(data).hexdigest()
    assert (blob.size, blob.was_known, blob.created_by) == (len(data), False, editor)
    with store.open(blob) as file:
        assert file.read() == data
    assert files_in(files_dir) == [files_dir / blob.sha256[:2] / blob.sha256]


def test_the_same_bytes_are_recognised_within_the_team(team, files_dir):
    first = store.put(team=team, stream=b"rows", name="a.csv", kind="upload")
    again = store.put(team=team, stream=SimpleUploadedFile("b.csv", b"rows"), name="b.csv", kind="upload")
    assert again.pk == first.pk and again.was_known and again.name == "a.csv"
    other = store.put(team=Team.objects.create(slug="x", name="X"), stream=b"rows", name="c", kind="upload")
    assert other.pk != first.pk and not other.was_known
    assert store.put(team=team, stream=b"rows", name="c", kind="export").pk != first.pk
    assert len(files_in(files_dir)) == 1


def test_a_file_over_the_cap_leaves_nothing(team, files_dir, settings):
    settings.UPLOAD_MAX_BYTES = 3 * 1024 * 1024
    with pytest.raises(TooLarge, match=r"over 3 MB.*UPLOAD_MAX_MB") as caught:
        store.put(team=team, stream=io.BytesIO(b"x" * (3 * 1024 * 1024 + 1)), name="big", kind="upload")
    assert caught.value.status == 413
    assert files_in(files_dir) == [] and not Blob.objects.exists()
    assert (
        store.put(team=team, stream=b"x" * (3 * 1024 * 1024), name="just", kind="upload").size
        == 3 * 1024 * 1024
    )


def test_a_stream_that_breaks_leaves_nothing(team, files_dir):
    class Breaks(io.RawIOBase):
        n = 0

        def read(self, size=-1):
            self.n += 1
            if self.n > 2:
                raise OSError(5, "Input/output error")
            return b"x" * size

    with pytest.raises(StoreUnwritable, match="Nothing was kept"):
        store.put(team=team, stream=Breaks(), name="x", kind="upload")
    assert files_in(files_dir) == [] and not Blob.objects.exists()


def test_an_unwritable_store_says_so(team, settings, tmp_path):
    settings.FILES_DIR = tmp_path / "file"
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreUnwritable):
        store.put(team=team, stream=b"x", name="x", kind="upload")


def test_missing_bytes_are_one_sentence(team, files_dir):
    blob = store.put(team=team, stream=b"x", name="x", kind="upload")
    store.path(blob).unlink()
    with pytest.raises(FileMissing, match="backup"):
        store.open(blob)
    store.put(team=team, stream=b"x", name="x", kind="upload")
    assert store.path(blob).exists(), "the same bytes coming in again mend it"


def test_only_old_files_without_a_row_are_swept(team, files_dir):
    kept = store.put(team=team, stream=b"kept", name="x", kind="upload")
    orphan = store.put(team=team, stream=b"orphan", name="x", kind="upload")
    place = store.path(orphan)
    orphan.delete()
    (files_dir / "incoming" / "half").write_bytes(b"half")
    assert store.sweep_orphans() == 0, "an upload may still be on its way to writing its row"
    assert store.sweep_orphans(now_s=time.time() + 25 * 3600) == 2
    assert not place.exists() and store.path(kept).exists()
    assert store.sweep_orphans(now_s=time.time() + 25 * 3600) == 0


def test_bytes_seen_again_are_young_again(team):
    blob = store.put(team=team, stream=b"same", name="x", kind="upload")
    os.utime(store.path(blob), (1, 1))
    blob.delete()
    store.put(team=team, stream=b"same", name="x", kind="export")
    assert time.time() - store.path(Blob.objects.get()).stat().st_mtime < 60


def test_a_place_is_only_ever_a_digest(team):
    for sha in ("../../etc/passwd", "a" * 63, "A" * 64, "a" * 64 + "/x", ""):
        with pytest.raises(ValueError):
            store.path(Blob(team=team, sha256=sha, name="x"))


@pytest.mark.django_db(transaction=True)
def test_two_writers_of_the_same_bytes_make_one_file(team, files_dir):
    digests = []

    def write():
        digests.append(store._write(io.BytesIO(b"z" * 3_000_000), 10_000_000))

    threads = [threading.Thread(target=write) for _ in range(6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(set(digests)) == 1 and len(digests) == 6
    assert len(files_in(files_dir)) == 1


def test_a_download_is_an_attachment_nobody_runs(team, viewer, client_for):
    page = b"<script>alert(1)</script>"
    blob = store.put(team=team, stream=page, name="evil.html", kind="upload", content_type="text/html")
    response = client_for(viewer).get(reverse("files:blob-download", args=[blob.pk]))
    assert b"".join(response.streaming_content) == page
    assert response["Content-Type"] == "application/octet-stream"
    assert response["Content-Disposition"] == 'attachment; filename="evil.html"'
    assert response["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in response["Content-Security-Policy"]
    assert "no-store" in response["Cache-Control"]


def test_a_download_is_for_the_team(team, client, outsider, viewer, editor):
    blob = store.put(team=team, stream=b"x", name="x", kind="upload")
    assert_route_guarded(
        client,
        reverse("files:blob-download", args=[blob.pk]),
        outsider=outsider,
        viewer=viewer,
        editor=editor,
    )


def test_an_upload_is_refused_while_it_arrives(rf, settings):
    settings.UPLOAD_MAX_BYTES = 1024 * 1024
    small = rf.post("/", {"file": SimpleUploadedFile("a", b"x" * 1000)})
    assert small.FILES["file"].size == 1000
    with pytest.raises(TooLarge):
        rf.post("/", {"file": SimpleUploadedFile("a", b"x" * (3 * 1024 * 1024))}).FILES
    with pytest.raises(TooLarge):
        # Says little, sends much: counted while it arrives.
        two = {"a": SimpleUploadedFile("a", b"x" * 700_000), "b": SimpleUploadedFile("b", b"x" * 700_000)}
        rf.post("/", two).FILES
