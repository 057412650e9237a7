"""What changed between two versions, and the datasheet's Markdown: strangers' text stays text."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from datasets.domain.datasheet import Datasheet, Section, markdown
from datasets.domain.versiondiff import RowKey, diff_versions


def row(digest, example=None, label="a", split="train"):
    return RowKey(digest, example, label, split)


def test_every_kind_of_change_is_told_apart():
    before = [row(b"1", 1), row(b"2", 2), row(b"3", 3), row(b"4", 4), row(b"5", 5)]
    after = [
        row(b"1", 1),  # the same
        row(b"2", 2, split="test"),  # moved
        row(b"3b", 3),  # its text was edited
        row(b"4", 4, label="b"),  # another label
        row(b"9", 9),  # new
    ]
    found = diff_versions(before, after)
    assert (found.moved, found.changed, found.added, found.removed, found.n_same) == (
        ((1, 1),), ((2, 2), (3, 3)), (4,), (4,), 1,
    )  # fmt: skip


def test_nothing_against_something_and_the_same_against_itself():
    rows = [row(b"1", 1), row(b"2")]
    assert diff_versions([], rows).added == (0, 1)
    assert diff_versions(rows, []).removed == (0, 1)
    assert diff_versions(rows, rows).n_same == 2


keys = st.lists(
    st.tuples(
        st.integers(0, 30),
        st.one_of(st.none(), st.integers(0, 20)),
        st.sampled_from("ab"),
        st.sampled_from(["train", "test"]),
    ),
    max_size=25,
    unique_by=(lambda k: k[0], lambda k: k[1] if k[1] is not None else object()),
)


@given(keys, keys)
@settings(max_examples=150, deadline=None)
def test_every_row_of_both_versions_is_told_once_and_the_way_back_mirrors_it(old, new):
    before = [row(bytes([d]), e, x, s) for d, e, x, s in old]
    after = [row(bytes([d]), e, x, s) for d, e, x, s in new]
    found = diff_versions(before, after)
    pairs = [*found.changed, *found.moved]
    assert len({i for i, _ in pairs} | set(found.removed)) == len(before) - found.n_same
    assert len({j for _, j in pairs} | set(found.added)) == len(after) - found.n_same
    back = diff_versions(after, before)
    assert (len(back.added), len(back.removed), back.n_same) == (
        len(found.removed),
        len(found.added),
        found.n_same,
    )
    assert {(i, j) for j, i in back.changed} == set(found.changed)


def test_markdown_keeps_strangers_text_out_of_the_markup():
    sheet = Datasheet(
        "A | B",
        (("Licence", "<script>alert(1)</script>\n# heading"),),
        (Section("What?", ("*bold* [link](x)",), (("Label", "Rows"), ("a|b\nc", "3"))),),
    )
    text = markdown(sheet)
    assert text == (
        "# A \\| B\n\n- **Licence:** \\<script\\>alert\\(1\\)\\</script\\> \\# heading\n\n## What?\n\n"
        "\\*bold\\* \\[link\\]\\(x\\)\n\n| Label | Rows |\n| --- | --- |\n| a\\|b c | 3 |\n"
    )
