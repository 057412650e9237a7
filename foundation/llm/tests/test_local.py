"""Models trained here: equal to scikit-learn's, one file, no code in it, no provider, no cost."""

from __future__ import annotations

import json
import pickle
import random
import struct
import subprocess
import sys

import numpy as np
import pytest
from asgiref.sync import async_to_sync
from django.conf import settings
from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics.pairwise import cosine_similarity
from sklearn.pipeline import FeatureUnion
from sklearn.utils import murmurhash3_32

from foundation.files import store
from foundation.llm import connections, local
from foundation.llm.domain.messages import Message, Request
from foundation.llm.door import complete
from foundation.llm.errors import LocalModelFailed, UnknownModel
from foundation.llm.local import artefact
from foundation.llm.local.answering import ClassifierModel, MajorityModel, NearestModel, softmax
from foundation.llm.local.features import LONGEST_WORD, Features, _hash_spans, fit_idf, weighted

SMALL = Features(word_bits=12, char_bits=12)
ODD = [
    "", " ", "\n\t", "a", "ab", "I", "x y", "Größe straße ÄÖÜ", "日本語 テスト です", "😀 hi 😀x 👨‍👩‍👧", "it's foo_bar 12-34",
    "tab\tnl\nfoo\r\nbar", "İstanbul ǅ ﬁ", "\u200bzero\u200bwidth", "e\u0301 é", "العربية نص", "a" * LONGEST_WORD, "!!! ??? ...",
    "NUL \x00 inside", "MiXeD CaSe", "x\u00a0y\u2003z", "½ ² ① Ⅷ", "🏴‍☠️",
]  # fmt: skip


def random_texts(n, seed=1):
    chance = random.Random(seed)
    letters = "abcdefghijklmnop éß日😀-_'.,1"
    return ["".join(chance.choice(letters) for _ in range(chance.randrange(0, 60))) for _ in range(n)] + ODD


def sklearn_counts(features, texts):
    return FeatureUnion(
        [
            (
                "words",
                HashingVectorizer(
                    n_features=1 << features.word_bits,
                    ngram_range=features.word_ngrams,
                    norm=None,
                    alternate_sign=False,
                    token_pattern=r"\w+",
                ),
            ),
            (
                "characters",
                HashingVectorizer(
                    n_features=1 << features.char_bits,
                    analyzer="char_wb",
                    ngram_range=features.char_ngrams,
                    norm=None,
                    alternate_sign=False,
                ),
            ),
        ]
    ).transform(texts)


# --- features ---


@pytest.mark.parametrize(
    "features",
    [
        SMALL,
        Features(),
        Features(word_bits=3, char_bits=2),
        Features(10, 11, (1, 3), (2, 4)),
        Features(8, 8, (2, 2), (1, 1)),
    ],
    ids=str,
)
def test_features_equal_scikit_learns(features):
    texts = random_texts(300)
    ours, theirs = features.counts(texts), sklearn_counts(features, texts)
    assert ours.shape == theirs.shape == (len(texts), features.size)
    assert abs(ours - theirs).sum() == 0
    transformer = TfidfTransformer(sublinear_tf=True).fit(theirs)
    idf = fit_idf(ours)
    assert np.allclose(idf, transformer.idf_, atol=1e-6)
    assert abs(features.matrix(texts, idf) - transformer.transform(theirs)).max() < 1e-5
    plain = TfidfTransformer(sublinear_tf=True, use_idf=False).fit(theirs)
    assert abs(features.matrix(texts) - plain.transform(theirs)).max() < 1e-5


def test_the_hash_is_murmur3():
    chance = random.Random(3)
    words = [bytes(chance.randrange(256) for _ in range(n)) for n in list(range(1, 40)) * 3]
    data = np.frombuffer(b"".join(words), dtype=np.uint8)
    sizes = np.array([len(w) for w in words])
    firsts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    rows, hashes = _hash_spans(data, np.arange(len(words)), firsts, sizes)
    expected = {i: murmurhash3_32(w, seed=0, positive=True) for i, w in enumerate(words)}
    assert dict(zip(rows.tolist(), hashes.tolist(), strict=True)) == expected


def test_one_text_alone_has_the_row_it_has_among_others():
    texts = random_texts(50)
    together = SMALL.matrix(texts)
    for i, text in enumerate(texts):
        assert abs(SMALL.matrix([text]) - together[i]).sum() == 0


def test_no_texts_give_no_rows():
    assert SMALL.counts([]).shape == (0, SMALL.size)
    assert weighted(SMALL.counts([])).shape == (0, SMALL.size)


def test_a_hostile_word_costs_little():
    long = SMALL.counts(["x" * 1_000_000, "y" * 5000 + " z"])
    assert long.shape[0] == 2 and long.nnz < 50


def test_features_go_through_json():
    for features in (SMALL, Features(10, 11, (1, 3), (2, 4))):
        assert Features.from_settings(json.loads(json.dumps(features.as_settings()))) == features
    for nonsense in (
        {"word_bits": 0},
        {"char_bits": 99},
        {"word_ngrams": (0, 2)},
        {"char_ngrams": (5, 3)},
        {"char_ngrams": (4, 5)},
    ):
        with pytest.raises(ValueError):
            Features(**nonsense)


# --- classifier ---


@pytest.fixture(scope="module")
def labelled():
    chance = random.Random(7)
    topics = {
        "card lost": "card lost stolen wallet",
        "top up": "top up money add balance",
        "fee": "fee charge cost price",
    }
    texts, labels = [], []
    for label, said in topics.items():
        for _ in range(80):
            noise = "".join(chance.choice("abcdefghij ") for _ in range(12))
            texts.append(" ".join(chance.sample(said.split(), 3)) + " " + noise)
            labels.append(label)
    return texts, labels


@pytest.mark.parametrize("n_labels", [2, 3])
@pytest.mark.parametrize("with_idf", [True, False])
def test_predictions_equal_scikit_learns(labelled, n_labels, with_idf, tmp_path):
    texts, labels = labelled
    keep = sorted(set(labels))[:n_labels]
    rows = [(t, y) for t, y in zip(texts, labels, strict=True) if y in keep]
    texts, labels = [t for t, _ in rows], [y for _, y in rows]
    counts = SMALL.counts(texts)
    idf = fit_idf(counts) if with_idf else None
    theirs = LogisticRegression(C=10, max_iter=200).fit(weighted(counts, idf), labels)
    ours = ClassifierModel.from_linear(list(theirs.classes_), theirs.coef_, theirs.intercept_, SMALL, idf=idf)
    ours.save(tmp_path / "m.safetensors")
    again = local.load(tmp_path / "m.safetensors")
    asked = random_texts(400, seed=9) + texts
    transformer = TfidfTransformer(sublinear_tf=True, use_idf=with_idf).fit(sklearn_counts(SMALL, texts))
    x = transformer.transform(sklearn_counts(SMALL, asked))
    assert [a.text for a in again.answer(asked)] == list(theirs.predict(x))
    assert np.allclose(again.probabilities(asked), theirs.predict_proba(x), atol=1e-4)
    assert all(
        a.confidence == pytest.approx(p, abs=1e-6)
        for a, p in zip(ours.answer(asked), again.probabilities(asked).max(axis=1), strict=True)
    )
    assert again.kind == "classifier" and "not a language model" in again.description


def test_a_temperature_changes_confidence_and_no_answer():
    scores = np.array([[2.0, 1.0, 0.0]])
    # e^2 / (e^2 + e + 1) = 7.389 / 11.107
    assert softmax(scores)[0, 0] == pytest.approx(0.6652, abs=1e-4)
    # at temperature 2: e / (e + e^0.5 + 1) = 2.718 / 5.367
    assert softmax(scores, 2.0)[0, 0] == pytest.approx(0.5065, abs=1e-4)
    assert softmax(np.array([[1e6, -1e6]]))[0].tolist() == [1.0, 0.0]


def test_a_model_that_does_not_fit_together_is_refused():
    weights, bias = np.zeros((SMALL.size, 2)), np.zeros(2)
    for wrong in (
        {"labels": ["a"]},
        {"weights": np.zeros((3, 2))},
        {"bias": np.zeros(3)},
        {"idf": np.zeros(3)},
        {"temperature": 0},
        {"temperature": float("nan")},
    ):
        given = {"labels": ["a", "b"], "weights": weights, "bias": bias, "features": SMALL, **wrong}
        with pytest.raises(ValueError):
            ClassifierModel(**given)


# --- nearest and majority ---


def test_the_nearest_example_answers(labelled, tmp_path):
    texts, labels = labelled
    model = NearestModel.from_examples(texts, labels, SMALL)
    model.save(tmp_path / "n.safetensors")
    again = local.load(tmp_path / "n.safetensors")
    asked = random_texts(300, seed=4) + texts[:20]
    x, y = SMALL.matrix(texts, model.idf), SMALL.matrix(asked, model.idf)
    similar = cosine_similarity(y, x)
    best, cosine = again.nearest(asked)
    assert np.allclose(cosine, np.clip(similar.max(axis=1), 0, 1), atol=1e-5)
    assert np.allclose(similar[np.arange(len(asked)), best], similar.max(axis=1), atol=1e-5)
    assert [a.text for a in again.answer(asked)][-20:] == labels[:20]
    assert all(a.confidence == pytest.approx(1, abs=1e-5) for a in again.answer(texts[:20]))
    assert again.answer([""])[0].confidence == 0.0


def test_among_equals_the_first_example_answers():
    model = NearestModel.from_examples(["same text", "same text", "other"], ["one", "two", "three"], SMALL)
    assert model.answer(["same text"])[0].text == "one"
    with pytest.raises(ValueError):
        NearestModel.from_examples([], [], SMALL)


def test_the_majority_answers_always_the_same(tmp_path):
    MajorityModel("billing", 0.4).save(tmp_path / "m.safetensors")
    model = local.load(tmp_path / "m.safetensors")
    assert model.answer(["x", ""]) == [local.LocalAnswer("billing", 0.4)] * 2
    assert model.kind == "majority"


# --- the file ---


def test_the_same_model_is_the_same_file(labelled, tmp_path):
    model = NearestModel.from_examples(*labelled, SMALL, settings={"note": "größe"})
    digest = model.save(tmp_path / "a.safetensors")
    assert model.save(tmp_path / "b.safetensors") == digest
    assert local.load(tmp_path / "a.safetensors").save(tmp_path / "c.safetensors") == digest
    assert local.load(tmp_path / "a.safetensors").settings == {"note": "größe"}


class Evil:
    def __reduce__(self):
        return (exec, ("raise SystemExit('code ran')",))


def safetensors_bytes(head):
    raw = json.dumps(head).encode()
    return struct.pack("<Q", len(raw)) + raw


BAD_FILES = {
    "pickle": pickle.dumps(Evil()),
    "empty": b"",
    "text": b"hello",
    "zip": b"PK\x03\x04" + b"\x00" * 100,
    "npy": b"\x93NUMPY\x01\x00" + b"\x00" * 100,
    "yaml": b"!!python/object/apply:os.system ['true']",
    "huge head": struct.pack("<Q", 2**60) + b"{}",
    "no head of ours": safetensors_bytes({}),
    "another format": safetensors_bytes({"__metadata__": {"head": '{"format": "x", "kind": "nearest"}'}}),
    "unknown kind": safetensors_bytes(
        {"__metadata__": {"head": json.dumps({"format": artefact.FORMAT, "kind": "evil", "settings": {}})}}
    ),
    "no tensors": safetensors_bytes(
        {"__metadata__": {"head": json.dumps({"format": artefact.FORMAT, "kind": "nearest", "settings": {}})}}
    ),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_t29_anything_else_is_refused_and_runs_nothing(name, tmp_path):
    (tmp_path / "x").write_bytes(BAD_FILES[name])
    with pytest.raises(LocalModelFailed):
        local.load(tmp_path / "x")


def test_a_missing_and_a_damaged_file_are_one_sentence(labelled, tmp_path):
    with pytest.raises(LocalModelFailed, match="Train it again"):
        local.load(tmp_path / "none")
    good = NearestModel.from_examples(*labelled, SMALL).as_artefact()
    for broken in (
        {"answer_of": good.tensors["answer_of"] + 100},
        {"answer_of": good.tensors["answer_of"][:3]},
        {"indices": good.tensors["indices"] + SMALL.size},
        {"indptr": good.tensors["indptr"][::-1].copy()},
    ):
        bad = artefact.Artefact("nearest", good.settings, {**good.tensors, **broken}, good.texts)
        artefact.write(bad, tmp_path / "bad.safetensors")
        with pytest.raises(LocalModelFailed, match="damaged"):
            local.load(tmp_path / "bad.safetensors")
    with pytest.raises(ValueError):
        artefact.write(artefact.Artefact("evil", {}), tmp_path / "e")


# --- through the door ---


@pytest.mark.django_db
def test_a_model_trained_here_is_asked_like_any_other(team, outsider, labelled, tmp_path, settings):
    settings.FILES_DIR = tmp_path / "files"
    NearestModel.from_examples(*labelled, SMALL).save(tmp_path / "m.safetensors")
    with (tmp_path / "m.safetensors").open("rb") as file:
        blob = store.put(team=team, stream=file, name="m.safetensors", kind="artefact")
    request = Request(f"local:{blob.sha256}", "", (Message("user", labelled[0][0]),), 10)
    done = async_to_sync(complete)(connections.local_connection(team), request)
    assert (done.text, done.cost_microusd, done.stop_reason) == (labelled[1][0], 0, "end_turn")
    assert done.confidence == pytest.approx(1, abs=1e-5)
    other = connections.local_connection(outsider.memberships.get().team)
    with pytest.raises(UnknownModel):
        async_to_sync(complete)(other, request)
    assert local.load(blob) is local.load(blob), "kept in memory"


def test_no_start_of_the_portal_pays_for_a_provider_or_for_training():
    code = (
        "import sys, django; django.setup();"
        "from django.urls import get_resolver; get_resolver()._populate();"
        "import foundation.llm.door, foundation.llm.jobs, foundation.llm.views, foundation.llm.local, foundation.llm.admin;"
        "print([m for m in ('anthropic', 'httpx2', 'sklearn', 'scipy', 'pyarrow') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"DJANGO_SETTINGS_MODULE": "ftportal.settings", "VAR_DIR": str(settings.VAR_DIR), "PATH": ""},
        cwd=settings.BASE_DIR,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout.strip() == "[]", done.stdout + done.stderr[-1000:]


def test_prediction_needs_no_scikit_learn():
    code = "import sys; sys.modules['sklearn'] = None; from foundation.llm.local import features, artefact; print('ok')"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=settings.BASE_DIR, capture_output=True, text=True, timeout=120
    )
    assert done.stdout.strip() == "ok", done.stderr[-500:]
