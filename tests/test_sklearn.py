"""xmap's methods in scikit-learn: its own checks, its tools, and real features."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("sklearn", reason="scikit-learn comes with the extra demo")

from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from xmap.sklearn import FewShotClassifier, expected_failed_checks
from xmap.store.errors import InputError

# One of each kind: the default, no training, a cache, class weights with their exception, a kernel.
QUICK, SLOWER = "gda", ("xmadapter", "zero-shot", "tip-adapter", "clap", "proker")
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


@pytest.mark.parametrize("method", [QUICK, *(pytest.param(name, marks=pytest.mark.thorough) for name in SLOWER)])
def test_the_checks_of_scikit_learn_hold_but_those_that_are_listed(method: str) -> None:
    estimator = FewShotClassifier(method)
    listed = expected_failed_checks(estimator)
    found = check_estimator(estimator, on_skip=None, on_fail=None)
    assert len(found) > 40
    assert {told["check_name"] for told in found if told["status"] == "failed"} == set(listed)


@pytest.fixture(scope="module")
def digits() -> tuple[Any, Any]:
    torch.set_num_threads(1)
    vectors, labels = load_digits(return_X_y=True)
    return vectors[:600], np.asarray(
        [["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"][label] for label in labels[:600]]
    )


def test_it_works_in_pipelines_searches_and_folds(digits: tuple[Any, Any]) -> None:
    vectors, labels = digits
    pipeline = make_pipeline(StandardScaler(), PCA(32, random_state=0), FewShotClassifier("gda"))
    assert cross_val_score(pipeline, vectors, labels, cv=3).min() > 0.7
    grid = {"fewshotclassifier__method": ["zero-shot", "tip-adapter"], "fewshotclassifier__shots": [4, None]}
    search = GridSearchCV(pipeline, grid, cv=2, scoring="neg_log_loss").fit(vectors, labels)
    assert search.best_score_ > -np.log(10)
    best = search.best_estimator_
    np.testing.assert_array_equal(best.predict(vectors), best.classes_[best.predict_proba(vectors).argmax(1)])


def test_order_and_company_change_no_bit_and_pickle_keeps_all(digits: tuple[Any, Any]) -> None:
    vectors, labels = digits
    order = np.random.default_rng(0).permutation(400)
    first = FewShotClassifier("tip-adapter-f", shots=8).fit(vectors[:400], labels[:400])
    second = clone(first).fit(vectors[order], labels[order])
    chances = first.predict_proba(vectors[400:])
    np.testing.assert_array_equal(second.predict_proba(vectors[400:]), chances)
    np.testing.assert_array_equal(first.predict_proba(vectors[500:501]), chances[100:101])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(first)).predict_proba(vectors[400:]), chances)  # noqa: S301
    assert second.set_params(shots=1).get_params()["shots"] == 1


def test_texts_are_of_the_classes_that_are_named() -> None:
    texts = np.eye(4) + 0.1
    vectors, labels = texts[[0, 1, 0, 1]] + 0.01 * np.arange(4)[:, None], np.asarray(["d", "b", "d", "b"])
    named = FewShotClassifier("tip-adapter", texts=texts, classes=["d", "b", "c", "a"]).fit(vectors, labels)
    assert named.classes_.tolist() == ["a", "b", "c", "d"]
    np.testing.assert_array_equal(named.predict(texts), ["d", "b", "c", "a"])
    sorted_ = FewShotClassifier("tip-adapter", texts=texts[[3, 1, 2, 0]], classes=["a", "b", "c", "d"]).fit(vectors, labels)
    np.testing.assert_array_equal(named.predict_proba(vectors), sorted_.predict_proba(vectors))


def test_zero_shot_is_the_cosine_with_the_texts() -> None:
    random = np.random.default_rng(0)
    texts, vectors = random.normal(size=(3, 6)), random.normal(size=(30, 6)) * 7
    found = FewShotClassifier("zero-shot", texts=texts, shots=2).fit(vectors, np.arange(30) % 3)
    cosines = (vectors @ texts.T) / np.linalg.norm(vectors, axis=1)[:, None] / np.linalg.norm(texts, axis=1)
    ratio = found.decision_function(vectors) / cosines
    np.testing.assert_allclose(ratio, np.full_like(ratio, ratio[0, 0]), rtol=1e-4)


@pytest.mark.parametrize(
    ("said", "given"),
    [
        ("unknown method 'nope'", {"method": "nope"}),
        ("shots=0 is no whole number from 1", {"shots": 0}),
        ("seed=1.5 is no whole number", {"seed": 1.5}),
        ("texts= has shape", {"texts": np.ones((2, 64))}),
        ("texts= has shape", {"texts": np.ones((10, 3))}),
        ("classes= holds one label twice, or lacks one", {"classes": ["one", "two"]}),
        (
            "classes= holds one label twice, or lacks one",
            {"classes": ["one", *WORDS]},
        ),
        ("row 3 is all zero", {"texts": np.ones((10, 64)) * (np.arange(10) != 3)[:, None]}),
    ],
)
def test_what_cannot_be_used_is_one_sentence(digits: tuple[Any, Any], said: str, given: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=said):
        FewShotClassifier(**given).fit(*digits)


def test_real_features_with_their_texts(shared_data: Path) -> None:
    folder = shared_data / "caltech69-b32"
    read = {name: torch.load(folder / f"{name}.pt", weights_only=True) for name in ("keys_4shots", "values_4shots", "text_weights")}
    held, right = (torch.load(folder / f"val_{name}.pt", weights_only=True).numpy() for name in "fl")
    vectors, labels = read["keys_4shots"].T.float().numpy(), read["values_4shots"].argmax(1).numpy()
    texts = read["text_weights"].T.float().numpy()
    accuracy, loss = {}, {}
    for method, given in (("zero-shot", texts), ("gda", texts), ("gda", None)):
        found = FewShotClassifier(method, texts=given).fit(vectors, labels)
        accuracy[method, given is not None] = found.score(held, right)
        loss[method, given is not None] = log_loss(right, found.predict_proba(held), labels=found.classes_)
    assert accuracy["gda", True] > max(accuracy["gda", False], accuracy["zero-shot", True])
    assert max(loss.values()) < 0.5
