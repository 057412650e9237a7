"""The sentences say what the figures carry: no regression is averaged away, no chance is called a gain."""

from __future__ import annotations

import pytest

from evaluations.domain import comparison as c
from evaluations.domain import findings as f
from evaluations.domain import paired
from evaluations.domain.statuses import CandidateKind, Verdict
from evaluations.tests.test_domain_comparison import right_wrong

CORRECT = paired.Measure("correct", "Correct", "binary")
LATENCY = paired.Measure("latency", "Latency p95", "p95", "ms", False)
COST = paired.Measure("cost", "Cost per 1,000 rows", "mean", "microusd", False)
PEOPLE = [f.Who(1, "best prompt", CandidateKind.PROMPT), f.Who(2, "triage-3", CandidateKind.TRAINED)]


def decided(better, worse, *, both=160, neither=5, latency=(900.0, 900.0), cost=None, margins=None):
    was, now = right_wrong(both, better, worse, neither)
    n = len(was)
    expected = ["refunds" if i % 4 == 0 else "login" for i in range(n)]
    arms = []
    for key, column, at in ((1, was, 0), (2, now, 1)):
        columns = {"correct": column, "latency": [latency[at] + i % 7 for i in range(n)]}
        if cost:
            columns["cost"] = [cost[at] + i % 3 for i in range(n)]
        said = [e if right else "other" for e, right in zip(expected, column, strict=True)]
        arms.append(paired.Arm(key, PEOPLE[at].name, PEOPLE[at].kind, columns, said))
    measures = [CORRECT, LATENCY] + ([COST] if cost else [])
    return c.compare(
        arms, baseline_key=1, measures=measures, expected=expected, margins=margins or c.Margins()
    )


def test_better_says_so_with_its_interval_and_number_of_rows():
    found = f.tell(decided(37, 16, latency=(1240.0, 910.0)), PEOPLE, on="test rows of version 3")
    assert found.headline == "Better than best prompt, and not by chance."
    assert "+9.6 pts right answers (+3.2 to +16.2, 95%) on 218 test rows of version 3" in found.detail
    assert "330 ms faster" in found.detail
    assert found.advice is f.Advice.HIGHLY_RECOMMENDED


def test_better_and_slower_is_mixed_and_never_highly_recommended():
    found = f.tell(decided(37, 16, latency=(900.0, 1900.0)), PEOPLE, on="rows")
    assert found.advice is f.Advice.MIXED
    assert "worse in latency p95" in found.headline


def test_the_chapters_catastrophe_is_not_recommended():
    # D22: accuracy .90 -> .60 with latency 1 s -> 2 s was "Highly recommended"
    found = f.tell(decided(0, 60, both=120, neither=20, latency=(1000.0, 2000.0)), PEOPLE, on="rows")
    assert found.advice is f.Advice.NOT_RECOMMENDED
    assert found.verdict is Verdict.WORSE
    assert found.headline.startswith("Worse than best prompt")
    assert "“highly recommended”" in found.chapter_sentence


def test_chance_is_undecided_with_the_rows_it_would_take():
    found = f.tell(decided(12, 10, both=60, neither=20), PEOPLE, on="rows")
    assert found.advice is f.Advice.UNDECIDED
    assert "cannot tell triage-3 and best prompt apart; about" in found.headline


def test_as_good_and_cheaper_is_recommended_for_that():
    found = f.tell(decided(4, 4, both=1900, neither=90, cost=(400.0, 100.0)), PEOPLE, on="rows")
    assert found.verdict is Verdict.EQUIVALENT
    assert found.advice is f.Advice.CHEAPER
    assert "As good as best prompt, and better in cost per 1,000 rows." in found.headline
    assert "it costs 25% of that" in found.detail


def test_labels_that_lost_ground_are_named():
    found = f.tell(decided(60, 16), PEOPLE, on="rows")
    assert all(change.baseline_right - change.candidate_right >= 2 for change in found.weak_labels)


def test_nothing_in_common_is_said():
    arms = [
        paired.Arm(1, "a", "prompt", {"correct": [None]}),
        paired.Arm(2, "b", "trained", {"correct": [1.0]}),
    ]
    found = f.tell(c.compare(arms, baseline_key=1, measures=[CORRECT]), PEOPLE, on="rows")
    assert "share no scored row" in found.headline
    assert found.advice is f.Advice.UNDECIDED


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        pytest.param(0.02, 0.1, "Training itself adds", id="training adds"),
        pytest.param(-0.1, -0.02, "do not tune yet", id="the prompt is ahead"),
        pytest.param(-0.02, 0.05, "a prompt alone may reach the same", id="cannot be told"),
    ],
)
def test_tuning_or_just_the_prompt(low, high, said):
    line = decided(37, 16).lines[0]
    found = paired.Difference(200, 0.8, 0.85, (low + high) / 2, low, high, 0.04, 0.02, "")
    assert said in f.prompt_or_tuning(PEOPLE, found, line)


def test_without_a_prompt_nobody_can_say_what_tuning_gave():
    line = decided(37, 16).lines[0]
    people = [f.Who(1, "nearest", CandidateKind.NEAREST), f.Who(2, "t", CandidateKind.TRAINED)]
    assert "No prompt took part" in f.prompt_or_tuning(people, None, line)
    assert f.prompt_or_tuning([people[0]], None, line) == ""
