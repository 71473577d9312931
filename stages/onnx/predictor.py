"""Prediction on new images by an ONNX file: the answers that `stages.predict.predictor` gives, without torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from xmap.stages.adapters.kept import misfits
from xmap.stages.images.decode import BadImage, Rules
from xmap.stages.images.depths import assumed
from xmap.stages.images.read import Given
from xmap.stages.onnx.session import Session
from xmap.stages.predict.answers import Answers, NeighborColumns, answers_of
from xmap.stages.predict.loader import PixelLoader
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
        progress.start("predict", len(images))
        loader = PixelLoader(self._session.about.preprocess, rules, workers)
        for batch in loader.batches(images, batch_size):
            bad = {row: image for row, (_, image) in enumerate(batch) if isinstance(image, BadImage)}
            yield self.answers([name for name, _ in batch], [image for _, image in batch if not isinstance(image, BadImage)], bad)
            progress.advance(len(batch))
        if loader.depths:
            progress.say(assumed(loader.depths))

    def answers(self, names: Sequence[str], pixels: Sequence[Array], bad: Mapping[int, BadImage]) -> Answers:
        """What it says of B images by the pixels, each (1, H, W, 3) uint8, of those that could be read; the others are in `bad`, by row.

        Raises `InputError` for scores that are not finite.
        """
        classes = self._session.about.labels
        if not pixels:
            return answers_of(names, classes, bad, {})
        found = self._session.run(np.concatenate(pixels))
        if not np.isfinite(found["logits"]).all():
            raise InputError("the ONNX file's scores of these images are not finite numbers; export it again with --onnx.")
        return answers_of(names, classes, bad, self._columns(found), self._neighbors(found))

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
