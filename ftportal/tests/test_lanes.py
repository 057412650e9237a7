"""What a lane does with a test that failed: a real pytest over a few tests made for it."""

from __future__ import annotations

import pytest

from ftportal.testing import lanes

# Each run adds a line to its file, so a test knows how often it ran.
TESTS = """
import pathlib

def nth(name):
    with open(pathlib.Path(__file__).parent / name, "a+") as file:
        file.write("x")
        return file.tell()

def test_is_good(): assert nth("good") == 1
def test_fails_once(): assert nth("once") == 2
def test_fails_twice(): assert nth("twice") == 3
def test_fails_always(): assert nth("always") < 0
"""


@pytest.fixture
def some_tests(tmp_path, monkeypatch):
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = -p no:django -p no:playwright\n")
    (tmp_path / "test_some.py").write_text(TESTS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_what_fails_beside_others_and_passes_alone_passes_and_is_named(some_tests, capfd):
    unsteady = []
    assert lanes.run("some", ["-n", "2", "-k", "not always"], {}, unsteady)
    # Those two alone: the first passes when it is tried alone, the second when it is tried alone again.
    assert sorted(unsteady) == [
        "test_some.py::test_fails_once (some)",
        "test_some.py::test_fails_twice (some)",
    ]
    assert "NOT STEADY, passed alone: test_some.py::test_fails_once" in capfd.readouterr().out
    assert [(some_tests / name).read_text() for name in ("good", "once", "twice")] == ["x", "xx", "xxx"]


def test_what_fails_always_fails_the_lane_whatever_else_passed_alone(some_tests, capfd):
    unsteady = []
    assert not lanes.run("some", [], {}, unsteady)
    assert len(unsteady) == 2
    assert "FAILED beside others and alone: test_some.py::test_fails_always" in capfd.readouterr().out
    assert (some_tests / "always").read_text() == "xxx"


def test_many_failures_are_no_weather(some_tests, monkeypatch):
    monkeypatch.setattr(lanes, "MOST_TRIED_ALONE", 2)
    unsteady = []
    assert not lanes.run("some", [], {}, unsteady)
    assert unsteady == [] and (some_tests / "once").read_text() == "x"
