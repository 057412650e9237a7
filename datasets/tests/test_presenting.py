"""Groups of like rows on a finding's page: which row the others are held against, what is marked, what stays shut."""

import re

import pytest

from datasets.domain.agreement import Agreement
from datasets.domain.power import rows_needed
from datasets.models import Content, DatasetVersion, Example, FindingRow
from datasets.presenting import diff_chart, empty_splits, power_chart, recipe_words
from datasets.presenting_findings import BEFORE, SHOWN, chart_of_sizes, groups_of_rows, sureness
from datasets.presenting_quality import dimensions_chart, scores_chart
from datasets.presenting_reviews import agreement_chart
from datasets.reporting import balance_chart, languages_chart


def row(prompt, *, cluster=1, keep=False, sealed=False, answer="billing"):
    content = Content(prompt=prompt, completion=answer)
    found = FindingRow(example=Example(content=content), cluster=cluster, keep=keep)
    found.is_sealed = sealed
    return found


def grouped(*rows):
    return groups_of_rows(rows, task_kind="classify", with_likeness=True)


def test_the_row_that_stays_comes_first_and_the_others_are_marked_against_it():
    [group] = grouped(row("How do I track the card?"), row("How do I track my card?", keep=True))
    first, other = group.twins
    assert (first.text, first.pieces) == ("How do I track my card?", [])
    assert [(p.kind, p.text) for p in other.pieces] == [
        ("same", "How do I track "),
        ("removed", "my"),
        ("added", "the"),
        ("same", " card?"),
    ]


def test_rows_of_different_clusters_stand_in_different_groups():
    groups = grouped(row("a b"), row("a c"), row("x y", cluster=2), row("x z", cluster=2))
    assert [(group.number, len(group.twins)) for group in groups] == [(1, 2), (2, 2)]


def test_the_text_of_a_sealed_row_is_neither_shown_nor_compared_with():
    [group] = grouped(row("the secret prompt", keep=True, sealed=True), row("an open prompt"))
    shown = {twin.text: twin for twin in group.twins}
    assert set(shown) == {"an open prompt", ""}
    assert shown["an open prompt"].is_measure
    assert shown[""].likeness is None and not shown[""].pieces and not shown[""].answer


def test_a_group_of_sealed_rows_shows_nothing():
    [group] = grouped(row("one", sealed=True), row("two", sealed=True))
    assert [twin.text for twin in group.twins] == ["", ""]


def test_likeness_is_the_jaccard_that_verified_the_pair():
    # Short texts are compared by character 4-grams: "abcde" has abcd, bcde; "abcdf" has abcd, bcdf: 1 of 3 shared.
    [group] = grouped(row("abcde", keep=True), row("abcdf"))
    assert group.twins[1].likeness == pytest.approx(1 / 3)


def test_a_difference_late_in_a_long_text_still_shows():
    before = "word " * 400
    [group] = grouped(row(before + "yes", keep=True), row(before + "no"))
    other = group.twins[1]
    assert [(p.kind, p.text) for p in other.pieces if p.kind != "same"] == [
        ("removed", "yes"),
        ("added", "no"),
    ]
    assert other.text.startswith("… word") and len(other.text) <= BEFORE + SHOWN


def test_sizes_of_groups_are_counted_and_the_large_ones_share_a_bar():
    # 3 pairs, one each of 3, 4, 5, 6, 7 rows, and 8 and 20 rows in the last bar
    picture = chart_of_sizes([2, 2, 2, 3, 4, 5, 6, 7, 8, 20])
    assert "3 of 10 groups are pairs; the largest has 20 rows" in picture
    assert "8 rows and more: 2 groups. 28 rows in all" in picture


def test_scores_on_an_edge_belong_to_the_bin_above_it_and_the_bar_counts_what_is_under_it():
    # 0.7 is on the bar, 0.6999 under it; 1.0 falls into the last bin
    picture = scores_chart([0.7, 0.6999, 1.0, 0.7])
    assert "1 of 4 rows are below the bar of 0.7" in picture
    assert re.search(r">0.7 to 0.8</th><td [^>]*>50.0%</td>", picture)
    assert re.search(r">0.9 to 1</th><td [^>]*>25.0%</td>", picture)


def test_the_weakest_dimension_is_the_finding_and_a_missing_one_is_left_out():
    # clarity: mean 0.9; relevance: mean of 0.5 and 0.7 is 0.6
    picture = dimensions_chart([{"clarity": 0.9, "relevance": 0.5}, {"clarity": 0.9, "relevance": 0.7}])
    assert "Relevance is the weakest side: 0.60 of 1" in picture
    assert "Completeness" not in picture
    assert "0.900 (0.900 to 0.900)" in picture  # two equal values: no spread
    assert dimensions_chart([]) == ""


def test_how_sure_the_classifier_was_is_read_out_of_the_note():
    assert sureness("“card “a”” 3%, “card b” 95%") == "95% sure, against 3%"
    assert sureness("something else") == "something else"


def test_a_difference_of_versions_is_said_in_words_that_leave_out_what_did_not_happen():
    picture = diff_chart({"same": 2307, "added": 400, "removed": 0, "changed": 0, "moved": 209})
    assert "Of the rows, 400 were added, 209 moved to another split; 2,307 are the same" in picture
    assert "were removed" not in picture
    nothing = diff_chart({"same": 5, "added": 0, "removed": 0, "changed": 0, "moved": 0})
    assert ">No row differs: 5 are the same in both<" in nothing


def test_agreement_names_its_word_and_the_bound_it_is_held_against():
    alpha = Agreement(49, 0.78, 0.64, 0.91)
    picture = agreement_chart(alpha, None, n_same=39, n_pairs=49)
    assert "same answer on 39 of 49 rows; beyond chance the agreement is substantial" in picture
    assert "0.8, reliable" in picture and "kappa" not in picture
    assert agreement_chart(Agreement(3, None, reason="all the same"), None, n_same=3, n_pairs=3) == ""


def test_agreement_on_labels_both_readers_saw_does_not_pass_for_agreement_on_what_is_wrong():
    """42 rows both accept, 4 both reject and 22 differ: 0.64 over ten labels, next to nothing over the verdicts."""
    alpha, verdicts = Agreement(68, 0.64, 0.5, 0.75), Agreement(68, 0.05, -0.2, 0.3)
    picture = agreement_chart(alpha, None, verdicts, n_same=46, n_pairs=68)
    assert "beyond chance the agreement is substantial on labels, slight on verdicts" in picture
    assert "Alpha of the verdicts alone" in picture
    same = Agreement(68, None, reason="every answer is the same")
    assert "substantial on labels; the verdicts are all the same" in agreement_chart(
        alpha, None, same, n_same=68, n_pairs=68
    )


def test_a_thin_label_says_so_in_words_beside_its_colour():
    # THIN is 10: nine rows are thin, ten are not
    picture = balance_chart({"rare": 9, "usual": 10})
    assert "rare (thin)" in picture and "usual (thin)" not in picture and "fewer than 10 rows" in picture


def test_the_language_of_most_prompts_is_the_finding():
    # "9% are in English" would be said of 3 prompts in English and 32 of a few words: those say nothing either way.
    assert "All 3 prompts whose language can be told are in English" in languages_chart(
        {"English": 3, "not known": 32}
    )
    assert "75% of 4 prompts are in English" in languages_chart({"English": 3, "French": 1})
    assert "99% of 1,000 prompts whose" in languages_chart({"English": 999, "French": 1, "not known": 1})
    assert "The one prompt whose language" in languages_chart({"English": 1, "not known": 1})
    assert "is known, of 2" in languages_chart({"not known": 2})
    assert languages_chart({}) == ""


def test_prompts_of_no_known_language_are_no_other_language():
    # Nine languages are shown as eight and the others; those that cannot be told once fell in with them.
    counts = {f"language {i}": 10 - i for i in range(9)}
    page = languages_chart({**counts, "not known": 4})
    assert "others 2" in page
    assert "not known 4" in page


def test_a_test_too_small_says_so_before_its_figure():
    # 168 rows are the fewest with 80% power for 75% → 85% at a discordance of 20% (rows_needed())
    assert rows_needed() == 168
    assert "21 test rows are too few to see 75% → 85%: power 4%, 168 rows have 80%" in power_chart(21)
    assert "1,000 test rows see 75% → 85% with over 99% power" in power_chart(1000)
    assert "Without test rows nothing can be seen" in power_chart(0)
    # The axis ends at 500: a test of a thousand rows does not stand there.
    assert "this version: further right" in power_chart(1000)
    assert "further right" not in power_chart(500)
    # Before a freeze there is no version to mark.
    assert "this version" in power_chart(21)
    assert "this version" not in power_chart(21, mark="as chosen")


def test_one_row_that_differs_was_added_and_two_were():
    counts = {"same": 1, "added": 1, "removed": 2, "changed": 0, "moved": 0}
    assert "1 was added, 2 were removed; 1 is the same" in diff_chart(counts)


def frozen(n_train: int, n_validation: int, n_test: int, *, largest: int, ratios=("4/5", "1/10", "1/10")):
    n_rows = n_train + n_validation + n_test
    return DatasetVersion(
        state="frozen", n_rows=n_rows, n_train=n_train, n_validation=n_validation, n_test=n_test,
        recipe={"ratios": list(ratios)}, report={"units": {"largest": largest}},
    )  # fmt: skip


def test_a_split_without_rows_says_why_and_what_to_do():
    """Forty conversations that nearly repeat one another all taught; the page told of a test share raised to 30%."""
    said = empty_splits(frozen(40, 0, 0, largest=40))
    assert "No row went to validation and test: 40 of the 40 rows are alike or of one group" in said
    assert "Take the near-duplicates out" in said
    assert "No row went to validation: 3 rows are too few for it." in empty_splits(frozen(2, 0, 1, largest=1))
    assert "1 row is too few" in empty_splits(frozen(1, 0, 0, largest=1))
    assert empty_splits(frozen(8, 1, 1, largest=2)) == ""
    # nothing was asked for
    assert empty_splits(frozen(9, 0, 1, largest=1, ratios=("9/10", "0", "1/10"))) == ""


def test_the_recipe_of_a_mix_claims_no_split_of_its_own():
    """A mix of ready splits said "80 / 10 / 10" and "stratified" of 901 / 1,303 / 1,329 rows."""
    own = {
        "seed": "s", "ratios": ["4/5", "1/10", "1/10"], "strategy": "stratified", "task_kind": "classify",
        "size_test_by_power": True, "keep_groups": True, "near_threshold": 0.8,
    }  # fmt: skip
    assert dict(recipe_words(own))["Train / validation / test, %"] == "80 / 10 / 10"
    mixed = dict(
        recipe_words(
            {**own, "mix": {"temperature": 2.0, "most": 1200, "tasks": [{"task": "a"}, {"task": "b"}]}}
        )
    )
    assert mixed == {
        "Seed": "s",
        "Mixed of": "a, b",
        "Splits": "as they are in each of them",
        "Temperature of the training rows": "2",
        "Training rows of one task, at most": "1,200",
        "Task": "classify",
    }
