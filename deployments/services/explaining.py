"""What moved when requests changed: their words, and a few examples from each side. Keeps ids, never text."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet

from datasets.domain.pii import mask_pii
from datasets.models import DatasetVersion, VersionRow
from deployments.domain.drift import FeatureDrift, Settings, strongest_bin
from deployments.domain.features import Vocabulary, features_of, words_of
from deployments.domain.wording import FEATURE, read_wording
from deployments.models import ModelVersion, Prediction, Reading

# Texts of each side whose words are compared: the newest kept ones, and as many rows.
MOST_TEXTS = 2500
EXAMPLES = 4
# Examples of the rows are looked for among so many of them.
ROWS_LOOKED_AT = 4000


def wording_of(
    rows_of: DatasetVersion | None, requests: QuerySet[Prediction], *, settings: Settings, seed: int
) -> FeatureDrift | None:
    """The reading of words: rows it learnt from against texts that were kept; None where too few texts are kept."""
    if rows_of is None:
        return None
    kept = requests.exclude(prompt_text="").values_list("prompt_text", "text_masked")[:MOST_TEXTS]
    found = list(kept)
    if len(found) < settings.min_sample:
        return None
    rows = list(
        VersionRow.objects.filter(version=rows_of, split__in=("train", "validation"))
        .order_by("position")
        .values_list("content__prompt", flat=True)[:MOST_TEXTS]
    )
    if any(masked for _, masked in found):
        # The mask's own words must stand on both sides.
        rows = [mask_pii(text) for text in rows]
    return read_wording(rows, [text for text, _ in found], settings=settings, seed=seed)


def samples_of(
    reading: FeatureDrift,
    requests: QuerySet[Prediction],
    version: ModelVersion,
    rows_of: DatasetVersion | None,
) -> dict[str, list[Any]]:
    """Ids of a few requests and rows that lie where the feature moved most."""
    return {
        "requests": [str(pk) for pk in _requests_in(reading, requests)],
        "rows": _rows_in(reading, version, rows_of) if rows_of else [],
    }


def _requests_in(reading: FeatureDrift, requests: QuerySet[Prediction]) -> list[uuid.UUID]:
    kept = requests.exclude(prompt_text="")
    if reading.feature == FEATURE:
        word = reading.bins.names[0]
        said = kept.filter(prompt_text__icontains=word).values_list("pk", "prompt_text")[:200]
        return [pk for pk, text in said if word in words_of(text)][:EXAMPLES]
    found = list(kept.values_list("pk", "features")[:2000])
    places = reading.bins.place([features.get(reading.feature) for _, features in found])
    at = strongest_bin(reading)
    return [pk for (pk, _), place in zip(found, places, strict=True) if place == at][:EXAMPLES]


def _rows_in(reading: FeatureDrift, version: ModelVersion, rows_of: DatasetVersion) -> list[int]:
    rows = VersionRow.objects.filter(version=rows_of, split__in=("train", "validation")).order_by("position")
    if reading.feature == FEATURE:
        word = reading.bins.names[0]
        said = rows.filter(content__prompt__icontains=word).values_list("pk", "content__prompt")[:200]
        return [pk for pk, text in said if word in words_of(text)][:EXAMPLES]
    if reading.feature in ("label", "answer_characters"):
        # Measured of answers in an evaluation, so no row carries it.
        return []
    vocabulary = Vocabulary.from_text(version.vocabulary) if version.vocabulary else None
    found = list(rows.filter(split="validation").values_list("pk", "content__prompt")[:ROWS_LOOKED_AT])
    values = [features_of(text, vocabulary=vocabulary).get(reading.feature) for _, text in found]
    if not values:
        return []
    at = strongest_bin(reading)
    places = reading.bins.place(values)
    return [pk for (pk, _), place in zip(found, places, strict=True) if place == at][:EXAMPLES]


@dataclass(frozen=True, slots=True)
class Shown:
    """One example as a page shows it; `text` is "" when it is not kept any more."""

    text: str
    label: str
    id: str


def examples_of(readings: Sequence[Reading]) -> Mapping[int, tuple[list[Shown], list[Shown]]]:
    """By reading: requests and rows, with the text that is still there. Two queries, however many readings."""
    wanted = {uuid.UUID(pk) for r in readings for pk in r.samples.get("requests", [])}
    requests = Prediction.objects.only("pk", "prompt_text", "predicted").in_bulk(list(wanted))
    rows = {
        pk: Shown(text, label, str(pk))
        for pk, text, label in VersionRow.objects.filter(
            pk__in={pk for r in readings for pk in r.samples.get("rows", [])}
        ).values_list("pk", "content__prompt", "label")
    }
    return {
        r.pk: (
            [
                Shown(p.prompt_text, p.predicted, str(p.pk))
                for pk in r.samples.get("requests", [])
                if (p := requests.get(uuid.UUID(pk)))
            ],
            [rows[pk] for pk in r.samples.get("rows", []) if pk in rows],
        )
        for r in readings
    }
