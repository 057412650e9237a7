"""Metrics against hand calculations, scikit-learn, statsmodels and scipy."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import accuracy_score, confusion_matrix, precision_recall_fscore_support
from statsmodels.stats.proportion import proportion_confint

from evaluations.domain import metrics as m


@pytest.mark.parametrize(
    ("expected", "output", "same"),
    [
        pytest.param("Billing", "billing.", 1, id="case and a full stop do not count"),
        pytest.param("a  b", "A B", 1, id="doubled blanks do not count"),
        pytest.param("billing", "billing issue", 0, id="a further word counts"),
        pytest.param("+", "-", 0, id="marks alone stay what they are"),
        pytest.param("ﬁne", "fine", 1, id="a ligature is its letters"),
        pytest.param("work", "wo\u200brk", 1, id="a zero-width blank is nothing"),
        pytest.param("", "", 1, id="two empty texts are the same"),
    ],
)
def test_normalised_exact(expected, output, same):
    assert m.normalised_exact(expected, output) == same


def test_exact_sees_every_character():
    assert m.exact("a", "a") == 1.0
    assert m.exact("a", "a ") == 0.0


def test_token_f1_matches_a_hand_calculation():
    # expected 4 words, output 5, common "the cat sat" 3: precision 3/5, recall 3/4, F1 = 2*.6*.75/1.35 = 2/3
    assert m.token_f1("the cat sat down", "the big cat sat up") == pytest.approx(2 / 3)
    assert m.token_f1("", "") == 1.0
    assert m.token_f1("a", "") == 0.0
    assert m.token_f1("a a b", "a b b") == pytest.approx(2 / 3)


@given(st.text(max_size=40), st.text(max_size=40))
def test_token_f1_is_symmetric_and_bounded(a, b):
    assert m.token_f1(a, b) == pytest.approx(m.token_f1(b, a))
    assert 0 <= m.token_f1(a, b) <= 1


SCHEMA = {
    "type": "object",
    "required": ["queue"],
    "additionalProperties": False,
    "properties": {
        "queue": {"enum": ["billing", "login"]},
        "urgency": {"type": "integer", "minimum": 1, "maximum": 5},
        "tags": {"type": "array", "items": {"type": "string", "minLength": 2}, "maxItems": 2},
    },
}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param('{"queue": "billing", "urgency": 3, "tags": ["ab"]}', "", id="fits"),
        pytest.param("", "empty", id="empty"),
        pytest.param("billing", "not JSON", id="no JSON"),
        pytest.param('{"queue": "billing"} done', "not JSON", id="text after it"),
        pytest.param('{"queue": "billing", "urgency": NaN}', "not JSON", id="NaN is not JSON"),
        pytest.param('{"queue": "billing", "queue": "login"}', "twice", id="doubled key"),
        pytest.param('{"urgency": 3}', "$.queue is missing", id="missing"),
        pytest.param('{"queue": "other"}', "allowed values", id="enum"),
        pytest.param('{"queue": "billing", "x": 1}', "not in the schema", id="additional"),
        pytest.param('{"queue": "billing", "urgency": 9}', "above 5", id="maximum"),
        pytest.param('{"queue": "billing", "urgency": true}', "should be integer", id="true is not 1"),
        pytest.param('{"queue": "billing", "tags": ["a"]}', "below 2", id="short string"),
        pytest.param('{"queue": "billing", "tags": ["ab", "cd", "ef"]}', "above 2", id="too many items"),
        pytest.param("[" * 100_000, "nested too deeply", id="depth bomb"),
        pytest.param("1" * 300_000, "longer than", id="too long"),
        pytest.param("9" * 5_000, "not JSON", id="a number of five thousand digits"),
    ],
)
def test_json_is_checked_against_the_schema(text, problem):
    reading = m.read_json(text, SCHEMA)
    assert reading.is_valid == (problem == "")
    if problem:
        assert problem in " ".join(reading.problems)


def test_json_fields_matches_a_hand_calculation():
    # leaves wanted: a=1, b="x"; given: a=1, b="y", c=2: common 1, F1 = 2*1/(2+3) = 0.4
    assert m.json_fields('{"a": 1, "b": "x"}', '{"a": 1.0, "b": "y", "c": 2}') == pytest.approx(0.4)
    assert m.json_fields('{"a": 1}', "no json") == 0.0
    assert m.json_fields("no json", "{}") is None


@pytest.mark.parametrize(
    ("output", "label"),
    [
        pytest.param("billing", "billing", id="the label"),
        pytest.param(" **Billing**\n", "billing", id="marks and case"),
        pytest.param('{"label": "login"}', "login", id="JSON"),
        pytest.param('{"label": "pay"}', "", id="JSON with another label"),
        pytest.param("They were charged twice.\nLabel: billing", "billing", id="last line"),
        pytest.param("not billing, rather login trouble", "", id="a mention is no answer"),
        pytest.param("", "", id="nothing"),
        pytest.param("billing: login", "login", id="after the colon"),
    ],
)
def test_read_label(output, label):
    assert m.read_label(output, ["billing", "login"]) == label


def test_classification_matches_a_hand_calculation():
    # expected a a a b b c; said a a b b other a
    pairs = [("a", "a"), ("a", "a"), ("a", "b"), ("b", "b"), ("b", ""), ("c", "a")]
    report = m.classify(pairs, ["a", "b", "c"])
    assert report.right == 3
    assert report.accuracy == pytest.approx(0.5)
    a, b, c = report.classes
    assert (a.precision, a.recall) == (pytest.approx(2 / 3), pytest.approx(2 / 3))
    assert (b.precision, b.recall, b.f1) == (0.5, 0.5, 0.5)
    assert (c.precision, c.recall, c.f1) == (None, 0.0, 0.0)
    # macro F1 = (2/3 + 1/2 + 0) / 3
    assert report.macro_f1 == pytest.approx((2 / 3 + 0.5) / 3)
    assert report.confusion == ((2, 1, 0, 0), (0, 1, 0, 1), (1, 0, 0, 0))


LABELS = ["a", "b", "c", "d"]


@given(st.lists(st.tuples(st.sampled_from(LABELS), st.sampled_from(LABELS)), min_size=1, max_size=60))
def test_classification_equals_scikit_learn(pairs):
    expected, predicted = zip(*pairs, strict=True)
    present = sorted(set(expected))
    report = m.classify(pairs, LABELS)
    p, r, f, s = precision_recall_fscore_support(expected, predicted, labels=LABELS, zero_division=0)
    assert report.accuracy == pytest.approx(accuracy_score(expected, predicted))
    assert [c.support for c in report.classes] == s.tolist()
    assert [c.precision or 0 for c in report.classes] == pytest.approx(p.tolist())
    assert [c.recall or 0 for c in report.classes] == pytest.approx(r.tolist())
    assert [c.f1 or 0 for c in report.classes] == pytest.approx(f.tolist())
    macro = precision_recall_fscore_support(
        expected, predicted, labels=present, average="macro", zero_division=0
    )
    assert report.macro_f1 == pytest.approx(macro[2])
    assert [list(row[:-1]) for row in report.confusion] == confusion_matrix(
        expected, predicted, labels=LABELS
    ).tolist()


def test_nothing_scored_is_not_zero():
    report = m.classify([], ["a", "b"])
    assert report.accuracy is None
    assert report.macro_f1 is None
    assert report.warning == ""
    assert m.average([None, None]) == m.Average(0, 2, None, None, None)


def test_unscored_rows_do_not_pull_the_mean_down():
    assert m.average([1.0, None, 0.5]).mean == pytest.approx(0.75)
    assert m.average([1.0, None, 0.5]).n_unscored == 1


def test_ninety_five_percent_of_one_label_is_no_merit():
    # S54: 95 of 100 rows are "no"; always answering "no" is 95 % right
    always = m.classify([("no", "no")] * 95 + [("yes", "no")] * 5, ["no", "yes"])
    assert always.accuracy == pytest.approx(0.95)
    assert "has not shown that it learnt anything" in always.warning
    better = m.classify([("no", "no")] * 95 + [("yes", "yes")] * 3 + [("yes", "no")] * 2, ["no", "yes"])
    assert "macro F1" in better.warning
    even = m.classify([("no", "no")] * 50 + [("yes", "yes")] * 45 + [("yes", "no")] * 5, ["no", "yes"])
    assert even.warning == ""


@pytest.mark.parametrize(("right", "n"), [(0, 10), (10, 10), (42, 50), (1, 1), (500, 1000)])
def test_wilson_equals_statsmodels(right, n):
    assert m.wilson(right, n) == pytest.approx(proportion_confint(right, n, method="wilson"), abs=1e-12)


def test_forty_two_of_fifty_has_the_interval_of_d17():
    low, high = m.wilson(42, 50)
    assert (round(low, 3), round(high, 3)) == (0.715, 0.917)


@pytest.mark.parametrize("df", [1, 2, 3, 4, 7, 10, 29, 120, 199, 200, 5000])
@pytest.mark.parametrize("p", [0.975, 0.95, 0.995, 0.1])
def test_t_quantile_equals_scipy(p, df):
    assert m.t_quantile(p, df) == pytest.approx(stats.t.ppf(p, df), rel=1e-6)


def test_mean_interval_matches_a_hand_calculation():
    # 0.2, 0.4, 0.6: mean 0.4, stdev 0.2, t(0.975, 2) = 4.3027, half 4.3027 * 0.2 / sqrt(3) = 0.4968 -> cut at 0
    low, high = m.mean_interval([0.2, 0.4, 0.6])
    assert low == 0.0
    assert high == pytest.approx(0.4 + 0.49683, abs=1e-4)


def test_equal_scores_do_not_make_an_interval_of_nothing():
    low, high = m.mean_interval([0.5] * 10)
    assert low < 0.5 < high


def test_percentile_is_interpolated():
    assert m.percentile([], 0.95) is None
    assert m.percentile([1, 2, 3, 4], 0.5) == 2.5
    assert m.percentile(list(range(101)), 0.95) == pytest.approx(95)
    assert math.isclose(m.percentile([7.0], 0.95), 7.0)
