"""xmap's methods as a classifier of scikit-learn, on feature vectors: `xmap.sklearn.FewShotClassifier`."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from xmap.store.errors import InputError

try:
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_array, check_is_fitted, validate_data
except ImportError as error:
    raise InputError("xmap.sklearn needs scikit-learn 1.6 or newer; run `pip install 'xmap[demo]'`.") from error

if TYPE_CHECKING:
    from xmap.stages.train.in_memory import Learned
    from xmap.store.formats.tables import Array

# What of scikit-learn's checks does not hold, and why; some hold for all methods but one.
CHECKS: Mapping[str, str] = {
    "check_estimators_dtypes": "a row of zeros is among its data: it has no direction, and is refused here as by an adapter",
}
CHECKS_OF: Mapping[str, Mapping[str, str]] = {
    "clap": {"check_classifiers_train": "its texts, here class means of points in a plane, hold it back, as CLAP means them to"},
}


def expected_failed_checks(estimator: FewShotClassifier) -> dict[str, str]:
    """The checks of scikit-learn that do not hold, with the reason, as `parametrize_with_checks` takes them."""
    return {**CHECKS, **CHECKS_OF.get(estimator.method, {})}


class FewShotClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A few-shot classifier of image features, by a method of xmap.

    Parameters
    ----------
    method : a method of `xmap`, such as "xmadapter", "tip-adapter" or "gda".
    texts : features (N, C) of the class texts, by the encoder of the images; row i is of the i-th class. None: the unit mean of each
        class's samples is its text, so that "zero-shot" is the nearest class mean.
    classes : the N labels that `texts` are of, in its order; None: the labels that `fit` finds, sorted. A class may have a text
        and no sample.
    shots : samples of each class that are learned from, drawn by `seed`; the others choose settings and the temperature. None: all are
        learned from, and parts of them held out to choose.
    seed : of draws, starts and orders. The same seed and samples give the same classifier, in whatever order they come.

    Only the direction of a vector counts, not its length, so one of length 0 is refused. Probabilities are calibrated. Nothing is
    written: keep a classifier by pickle or joblib, and open nothing but your own by these.

    >>> from sklearn.datasets import load_digits
    >>> from sklearn.model_selection import cross_val_score
    >>> X, y = load_digits(return_X_y=True)
    >>> classifier = FewShotClassifier("gda", shots=16).fit(X[:1000], y[:1000])
    >>> classifier.predict_proba(X[1000:]).shape
    (797, 10)
    >>> classifier.score(X[1000:], y[1000:]) > 0.8
    True
    """

    def __init__(
        self, method: str = "xmadapter", *, texts: Any = None, classes: Any = None, shots: int | None = None, seed: int = 1
    ) -> None:
        self.method, self.texts, self.classes, self.shots, self.seed = method, texts, classes, shots, seed

    def fit(self, X: Any, y: Any) -> Self:
        """Learn from vectors (S, C) and their labels (S,). Raises `ValueError`, of which `InputError` is one, for what cannot be used."""
        from xmap.stages.train.in_memory import LearnSpec, learn

        X, y = validate_data(self, X, y, dtype=[np.float64, np.float32])
        check_classification_targets(y)
        texts = self._classes_of(y)
        shots = None if self.shots is None else self._whole("shots", 1)
        spec = LearnSpec(self.method, shots, self._whole("seed", 0))
        labels = np.searchsorted(self.classes_, y).astype(np.int64)
        self.learned_: Learned = learn(X, labels, texts, len(self.classes_), spec)
        return self

    def predict(self, X: Any) -> Array:
        """The most probable label (B,) of each vector (B, C)."""
        best = self._logits(X).argmax(axis=1)
        labels: Array = self.classes_[best]
        return labels

    def predict_proba(self, X: Any) -> Array:
        """Calibrated probabilities (B, N) float64 of the classes, in the order of `classes_`."""
        logits = self._logits(X)
        chances: Array = np.exp(logits - logits.max(axis=1, keepdims=True))
        chances /= chances.sum(axis=1, keepdims=True)
        return chances

    def decision_function(self, X: Any) -> Array:
        """Logits (B, N) float64 whose softmax is `predict_proba`; of two classes (B,), the second's minus the first's."""
        logits = self._logits(X)
        return logits[:, 1] - logits[:, 0] if logits.shape[1] == 2 else logits

    def _logits(self, X: Any) -> Array:
        check_is_fitted(self)
        learned: Learned = self.learned_
        return learned.logits(validate_data(self, X, reset=False, dtype=[np.float64, np.float32]))

    def _classes_of(self, y: Array) -> Array | None:
        """Set `classes_`, and give the class texts (N, C) in their order, or None. Raises `InputError`."""
        found = np.unique(y)
        named = found if self.classes is None else np.asarray(self.classes)
        self.classes_, order = np.unique(named, return_index=True)
        if len(order) < len(named) or not np.isin(found, named).all():
            raise InputError(f"classes= holds one label twice, or lacks one of y; give each once, those of y are {found.tolist()}.")
        if len(order) < 2:
            raise InputError(f"y holds one class alone, {found.tolist()[0]!r}, and a classifier needs two; give samples of another class.")
        if self.texts is None:
            return None
        texts: Array = check_array(self.texts, dtype=[np.float64, np.float32], input_name="texts")
        if texts.shape != (len(named), self.n_features_in_):
            wanted = f"{len(named)} classes and features of width {self.n_features_in_}"
            raise InputError(f"texts= has shape {texts.shape} for {wanted}; give one row a class, and name their labels by classes=.")
        return texts[order]

    def _whole(self, name: str, least: int) -> int:
        value = getattr(self, name)
        if not isinstance(value, Integral) or value < least:
            raise InputError(f"{name}={value!r} is no whole number from {least} on; give one.")
        return int(value)
