"""Prediction on new images by an ONNX file: the answers that `stages.predict.predictor` gives, without torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from xmap.stages.adapters.kept import misfits
from xmap.stages.images.crop import plain_crop
from xmap.stages.images.decode import Rules
from xmap.stages.images.read import Given
from xmap.stages.images.views import ViewMaker
from xmap.stages.onnx.session import Session
from xmap.stages.predict.answers import Answers, NeighborColumns
from xmap.stages.predict.loader import Batch, PixelLoader
from xmap.stages.predict.prediction import Asked
from xmap.stages.workplace.progress import Progress
from xmap.store.errors import InputError
from xmap.store.formats.log import Values
from xmap.store.formats.tables import Array


class OnnxPredictor:
    """What a file says of images, of all that it is asked; `cached` names the rows of its cache, where evidence is asked for."""

    def __init__(self, session: Session, asked: Asked, cached: Values | None) -> None:
        self._session, self._asked, self._cached = session, asked, cached

    def predict(self, images: Sequence[Given], progress: Progress, batch_size: int, workers: int, rules: Rules) -> Iterator[Answers]:
        """Answers of images in order, `batch_size` at a time; images that cannot be read are among them."""
        preprocess = self._session.about.preprocess
        loader = PixelLoader(ViewMaker(plain_crop(preprocess), preprocess, 0, rules), workers)
        return loader.answered(images, batch_size, progress, self.answers)

    def answers(self, batch: Batch) -> Answers:
        """What it says of the images of a batch. Raises `InputError` for scores that are not finite."""
        classes = self._session.about.labels
        if not batch.pixels:
            return Answers.of(batch.names, classes, batch.bad, {})
        found = self._session.run(np.concatenate(batch.pixels))
        if not np.isfinite(found["logits"]).all():
            raise InputError("the ONNX file's scores of these images are not finite numbers; export it again with --onnx.")
        return Answers.of(batch.names, classes, batch.bad, self._columns(found), self._neighbors(found))

    def _columns(self, found: Mapping[str, Array]) -> dict[str, Array | None]:
        """The columns of `Answers`."""
        sets, rejection, logits = self._asked.sets, self._asked.rejection, found["logits"]
        return {
            "probabilities": found["probabilities"],
            "zero_shot": found["zero_shot"],
            "image": found.get("affinity_image"),
            "text": found.get("affinity_text"),
            "gamma": found.get("gamma"),
            "members": None if sets is None else sets.within(misfits(logits), logits.argmax(axis=1)),
            "strangeness": None if rejection is None else found["strangeness"],
            "rejected": None if rejection is None else rejection.rejects(found["strangeness"]),
        }

    def _neighbors(self, found: Mapping[str, Array]) -> NeighborColumns | None:
        if self._cached is None:
            return None
        return NeighborColumns(found["neighbors"], found["affinities"], self._cached.sample_ids, self._cached.class_names)
