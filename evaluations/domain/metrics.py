"""What one answer is worth, and what many are together. Plain values in, plain values out.

Not known is its own answer: an unscored row is None everywhere and is never counted as 0.
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any

# A label the candidate made up stands in its own column of the confusion table.
OTHER = ""
MAJORITY_WARN_SHARE = 0.80
_WORD = re.compile(r"\w+")
_MARKS_AROUND = re.compile(r"^[\s\W_]+|[\s\W_]+$")
_INVISIBLE = re.compile("[\u200b-\u200f\u2060\ufeff\u00ad]")
MAX_JSON_CHARS = 200_000


# -- one row ---------------------------------------------------------------------------------------------------


def normalised(text: str) -> str:
    """The text without what people do not mean: letter case, widths, doubled blanks, marks at both ends."""
    plain = _INVISIBLE.sub("", unicodedata.normalize("NFKC", text)).casefold()
    plain = " ".join(plain.split())
    trimmed = _MARKS_AROUND.sub("", plain)
    # An answer made of marks alone ("+", "?") is kept as it is, or two different ones would be equal.
    return trimmed or plain


def exact(expected: str, output: str) -> float:
    """1 when both texts are the same, character for character."""
    return float(expected == output)


def normalised_exact(expected: str, output: str) -> float:
    """1 when both texts are the same but for case, blanks and marks around them."""
    return float(normalised(expected) == normalised(output))


def token_f1(expected: str, output: str) -> float:
    """Overlap of words, 0 to 1: harmonic mean of the share of the output's and of the expected words.

    Source: SQuAD's F1 (arXiv:1606.05250), without its English articles rule. Two empty texts agree.
    """
    want, got = _words(expected), _words(output)
    if not want or not got:
        return float(want == got)
    common = sum((Counter(want) & Counter(got)).values())
    if common == 0:
        return 0.0
    precision, recall = common / len(got), common / len(want)
    return 2 * precision * recall / (precision + recall)


def _words(text: str) -> list[str]:
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold())


# -- JSON ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class JsonReading:
    """A parsed output or the problems in it, at most five, each with its place."""

    value: Any
    problems: tuple[str, ...]

    @property
    def is_valid(self) -> bool:
        """Whether it parsed and fits the schema."""
        return not self.problems


def read_json(output: str, schema: Mapping[str, Any] | None = None) -> JsonReading:
    """The output as JSON, checked against a schema's common part.

    Strict: NaN, doubled keys and text around the value are problems. The schema may use type, enum, const,
    properties, required, additionalProperties, items, minItems, maxItems, minimum, maximum, minLength, maxLength;
    other words are ignored.
    """
    text = output.strip()
    if not text:
        return JsonReading(None, ("the output is empty",))
    if len(text) > MAX_JSON_CHARS:
        return JsonReading(None, (f"the output is longer than {MAX_JSON_CHARS:,} characters",))
    try:
        value = json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_refuse_doubles)
    except RecursionError:
        return JsonReading(None, ("the JSON is nested too deeply",))
    except ValueError as error:
        return JsonReading(None, (f"not JSON: {error}"[:200],))
    problems: list[str] = []
    if schema:
        _check(value, schema, "$", problems)
    return JsonReading(value, tuple(problems[:5]))


def json_valid(output: str, schema: Mapping[str, Any] | None = None) -> float:
    """1 when the output is JSON that fits the schema."""
    return float(read_json(output, schema).is_valid)


def json_fields(expected: str, output: str) -> float | None:
    """F1 over the leaves (path and value) of two JSON values, 0 to 1; None when the expected text is no JSON."""
    want = read_json(expected)
    if not want.is_valid:
        return None
    got = read_json(output)
    if not got.is_valid:
        return 0.0
    wanted, given = Counter(_leaves(want.value, "$")), Counter(_leaves(got.value, "$"))
    common = sum((wanted & given).values())
    total = sum(wanted.values()) + sum(given.values())
    return 2 * common / total if total else 1.0


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _refuse_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands there twice")
    return found


def _leaves(value: Any, path: str) -> list[tuple[str, str]]:
    if isinstance(value, dict) and value:
        return [leaf for key, part in value.items() for leaf in _leaves(part, f"{path}.{key}")]
    if isinstance(value, list) and value:
        return [leaf for part in value for leaf in _leaves(part, f"{path}[]")]
    if isinstance(value, str):
        return [(path, normalised(value))]
    # 1 and 1.0 are one number; true is not 1.
    if isinstance(value, int | float) and not isinstance(value, bool):
        return [(path, repr(float(value)) if abs(value) < 1e15 else str(value))]
    return [(path, json.dumps(value))]


_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "object": (dict,),
    "array": (list,),
    "null": (type(None),),
}


def _is_type(value: Any, name: str) -> bool:
    if isinstance(value, bool):
        return name == "boolean"
    if name == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _TYPES.get(name, (object,)))


def _check(value: Any, schema: Mapping[str, Any], path: str, problems: list[str]) -> None:
    if len(problems) >= 5 or not isinstance(schema, Mapping):
        return
    names = schema.get("type")
    wanted = [names] if isinstance(names, str) else list(names or [])
    if wanted and not any(_is_type(value, name) for name in wanted):
        problems.append(f"{path} should be {' or '.join(wanted)}")
        return
    if "enum" in schema and value not in schema["enum"]:
        problems.append(f"{path} is none of the {len(schema['enum'])} allowed values")
    if "const" in schema and value != schema["const"]:
        problems.append(f"{path} is not the one allowed value")
    if isinstance(value, dict):
        parts = schema.get("properties") or {}
        problems.extend(f"{path}.{key} is missing" for key in schema.get("required", ()) if key not in value)
        if schema.get("additionalProperties") is False:
            problems.extend(f"{path}.{key} is not in the schema" for key in value if key not in parts)
        for key, part in parts.items():
            if key in value:
                _check(value[key], part, f"{path}.{key}", problems)
    elif isinstance(value, list):
        _check_size(len(value), schema.get("minItems"), schema.get("maxItems"), f"{path} has items", problems)
        if "items" in schema:
            for i, part in enumerate(value[:1000]):
                _check(part, schema["items"], f"{path}[{i}]", problems)
    elif isinstance(value, str):
        _check_size(
            len(value), schema.get("minLength"), schema.get("maxLength"), f"{path} has characters", problems
        )
    elif isinstance(value, int | float) and not isinstance(value, bool):
        _check_size(value, schema.get("minimum"), schema.get("maximum"), path, problems)


def _check_size(size: float, low: Any, high: Any, what: str, problems: list[str]) -> None:
    if isinstance(low, int | float) and size < low:
        problems.append(f"{what}: {size} is below {low}")
    if isinstance(high, int | float) and size > high:
        problems.append(f"{what}: {size} is above {high}")


# -- labels ----------------------------------------------------------------------------------------------------


def read_label(output: str, labels: Sequence[str]) -> str:
    """The label meant by an output, or `OTHER` when it is none of them.

    Taken: the label itself but for case and marks around it, `{"label": "…"}`, or a last line that is a label
    ("Label: billing"). A sentence that merely mentions a label is none: guessing would flatter the candidate.
    """
    by_text = {normalised(label): label for label in labels}
    text = normalised(output)
    if text in by_text:
        return by_text[text]
    if output.lstrip().startswith("{"):
        value = read_json(output).value
        if isinstance(value, dict):
            for key in ("label", "category", "class", "answer"):
                if isinstance(value.get(key), str):
                    return by_text.get(normalised(value[key]), OTHER)
    last = next((line for line in reversed(output.strip().splitlines()) if line.strip()), "")
    _, mark, rest = last.rpartition(":")
    return by_text.get(normalised(rest if mark else last), OTHER)


@dataclass(frozen=True, slots=True)
class ClassScore:
    """One label's figures; None where a share has nothing to divide by."""

    label: str
    support: int
    predicted: int
    right: int
    precision: float | None
    recall: float | None
    f1: float | None
    recall_low: float | None
    recall_high: float | None


@dataclass(frozen=True, slots=True)
class Classification:
    """A candidate over labelled rows. `confusion[i][j]`: expected label i answered as column j; last column: other."""

    n: int
    right: int
    accuracy: float | None
    low: float | None
    high: float | None
    macro_f1: float | None
    balanced_accuracy: float | None
    classes: tuple[ClassScore, ...]
    confusion: tuple[tuple[int, ...], ...]
    majority_label: str
    majority_share: float | None
    warning: str

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def classify(
    pairs: Sequence[tuple[str, str]], labels: Sequence[str], *, majority_label: str | None = None
) -> Classification:
    """Accuracy, per-class precision, recall, F1, macro F1 and the confusion of (expected, predicted) pairs.

    Unscored rows must not be among the pairs. Macro F1 is the mean over labels that occur as expected ones.
    `majority_label` is the most frequent label of the training rows; without it that of these rows is taken.
    Source: the usual definitions, equal to scikit-learn's with `labels` = those that occur (a test compares).
    """
    seen = {e for e, _ in pairs}
    order = list(dict.fromkeys(labels)) + sorted(seen - set(labels))
    place = {label: i for i, label in enumerate(order)}
    k = len(order)
    table = [[0] * (k + 1) for _ in range(k)]
    for expected, predicted in pairs:
        table[place[expected]][place.get(predicted, k)] += 1
    n = len(pairs)
    right = sum(table[i][i] for i in range(k))
    classes = []
    for i, label in enumerate(order):
        support, said, hit = sum(table[i]), sum(row[i] for row in table), table[i][i]
        low, high = wilson(hit, support) if support else (None, None)
        classes.append(
            ClassScore(
                label=label,
                support=support,
                predicted=said,
                right=hit,
                precision=hit / said if said else None,
                recall=hit / support if support else None,
                f1=2 * hit / (support + said) if support + said else None,
                recall_low=low,
                recall_high=high,
            )
        )
    present = [c for c in classes if c.support]
    counts = {c.label: c.support for c in present}
    if majority_label is None:
        majority_label = max(counts, key=lambda label: (counts[label], label), default="")
    share = counts.get(majority_label, 0) / n if n else None
    accuracy = right / n if n else None
    interval = wilson(right, n) if n else (None, None)
    macro = math.fsum(c.f1 or 0.0 for c in present) / len(present) if present else None
    return Classification(
        n=n,
        right=right,
        accuracy=accuracy,
        low=interval[0],
        high=interval[1],
        macro_f1=macro,
        balanced_accuracy=math.fsum(c.recall or 0.0 for c in present) / len(present) if present else None,
        classes=tuple(classes),
        confusion=tuple(tuple(row) for row in table),
        majority_label=majority_label,
        majority_share=share,
        warning=majority_warning(accuracy, share, majority_label, macro),
    )


def majority_warning(accuracy: float | None, share: float | None, label: str, macro_f1: float | None) -> str:
    """One sentence when accuracy flatters because one label is most of the rows (S54), else ""."""
    if accuracy is None or share is None:
        return ""
    if accuracy <= share:
        return (
            f"Always answering “{label}” would be right in {share:.1%} of these rows; "
            f"this candidate is right in {accuracy:.1%}. It has not shown that it learnt anything."
        )
    if share >= MAJORITY_WARN_SHARE and macro_f1 is not None:
        return (
            f"“{label}” is {share:.1%} of these rows, so accuracy ({accuracy:.1%}) says little. "
            f"Read macro F1 ({macro_f1:.3f}) and the labels one by one."
        )
    return ""


# -- many rows -------------------------------------------------------------------------------------------------


def wilson(right: int, n: int, *, confidence: float = 0.95) -> tuple[float, float]:
    """Interval for a share, 0 to 1. Raises ValueError when n < 1 or right is not in 0..n.

    Source: Wilson 1927, the score interval without continuity correction.
    """
    if n < 1 or not 0 <= right <= n:
        raise ValueError("wilson needs 0 <= right <= n and n >= 1")
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share, z2 = right / n, z * z
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = z / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    # At the ends the bound is exact; arithmetic would leave 1e-17 beside it.
    low = 0.0 if right == 0 else max(0.0, centre - half)
    high = 1.0 if right == n else min(1.0, centre + half)
    return low, high


@dataclass(frozen=True, slots=True)
class Average:
    """Mean of the scored rows with a 95 % interval; all None when nothing was scored."""

    n: int
    n_unscored: int
    mean: float | None
    low: float | None
    high: float | None

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def average(scores: Sequence[float | None]) -> Average:
    """Mean of scores in 0..1 over the rows that have one.

    Right/wrong scores get Wilson's interval, others a Student-t interval.
    """
    known = [s for s in scores if s is not None]
    n = len(known)
    if n == 0:
        return Average(0, len(scores), None, None, None)
    mean = math.fsum(known) / n
    if all(s in (0.0, 1.0) for s in known):
        low, high = wilson(round(math.fsum(known)), n)
        return Average(n, len(scores) - n, mean, low, high)
    low, high = mean_interval(known)
    return Average(n, len(scores) - n, mean, low, high)


def mean_interval(values: Sequence[float], *, confidence: float = 0.95) -> tuple[float, float]:
    """Two-sided Student-t interval for the mean of scores, cut to 0..1.

    With one value, or none that differs, the spread is unknown: the interval is then Wilson's at that share.
    """
    n = len(values)
    mean = math.fsum(values) / n
    variance = math.fsum((v - mean) ** 2 for v in values) / (n - 1) if n > 1 else 0.0
    if variance == 0:
        z2 = NormalDist().inv_cdf((1 + confidence) / 2) ** 2
        half = z2 / (n + z2)
        return max(0.0, mean - half), min(1.0, mean + half)
    half = t_quantile((1 + confidence) / 2, n - 1) * math.sqrt(variance / n)
    return max(0.0, mean - half), min(1.0, mean + half)


def t_quantile(p: float, df: int) -> float:
    """Quantile of Student's t, to about 1e-6 relative for df >= 3; df 1 and 2 in closed form.

    Source: Abramowitz & Stegun 26.7.5 (Cornish-Fisher), then two Newton steps on the distribution function.
    """
    if df < 1 or not 0 < p < 1:
        raise ValueError("t_quantile needs df >= 1 and 0 < p < 1")
    if df == 1:
        return math.tan(math.pi * (p - 0.5))
    if df == 2:
        return (2 * p - 1) * math.sqrt(2 / (4 * p * (1 - p)))
    z = NormalDist().inv_cdf(p)
    g1 = (z**3 + z) / 4
    g2 = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    g3 = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    g4 = (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160
    t = z + g1 / df + g2 / df**2 + g3 / df**3 + g4 / df**4
    for _ in range(3 if df < 200 else 0):
        t -= (_t_cdf(t, df) - p) / _t_density(t, df)
    return t


def _t_density(t: float, df: int) -> float:
    log = math.lgamma((df + 1) / 2) - math.lgamma(df / 2) - 0.5 * math.log(df * math.pi)
    return math.exp(log - (df + 1) / 2 * math.log1p(t * t / df))


def _t_cdf(t: float, df: int) -> float:
    """Finite sums for whole df (Abramowitz & Stegun 26.7.3 and 26.7.4)."""
    theta = math.atan(t / math.sqrt(df))
    sin, cos2 = math.sin(theta), math.cos(theta) ** 2
    if df % 2:
        term, total = math.cos(theta), math.cos(theta)
        for j in range(3, df - 1, 2):
            term *= cos2 * (j - 1) / j
            total += term
        share = 2 / math.pi * (theta + (sin * total if df > 1 else 0))
    else:
        term = total = 1.0
        for j in range(2, df - 1, 2):
            term *= cos2 * (j - 1) / j
            total += term
        share = sin * total
    return 0.5 + share / 2


def percentile(values: Sequence[float], q: float) -> float | None:
    """The q-th quantile (0 to 1) by linear interpolation, None of no values."""
    if not values:
        return None
    ordered = sorted(values)
    place = q * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)
