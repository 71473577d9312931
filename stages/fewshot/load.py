"""From feature artifacts to the tensors that methods see: class texts, the support, samples to score."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn.functional import normalize

from xmap.stages.datasets.classes.labels import refuse_one_class
from xmap.stages.datasets.classes.shared_names import told_apart
from xmap.stages.fewshot.class_texts import SENTENCES, read_class_texts
from xmap.stages.fewshot.task import Labelled, Support, Text, Unprojected
from xmap.store.artifacts.artifact import Artifact
from xmap.store.errors import ArtifactDamaged, InputError
from xmap.store.formats.features import ImageFeatures, TextFeatures
from xmap.store.formats.tables import Array
from xmap.store.formats.unprojected import UNPROJECTED, read_unprojected


def load_text(texts: Artifact) -> Text:
    """The class texts of a texts artifact. Raises `ArtifactDamaged` when a class has no row, and `InputError` for a single class."""
    # Features that were imported by an older xmap may have one name twice.
    names = told_apart([str(name) for name in texts.summary["classes"]])
    refuse_one_class(names, str(texts.path))
    rows = read_class_texts(texts)
    weights, scale = torch.from_numpy(class_weights(rows, len(names))), float(texts.summary["logit_scale"])
    if SENTENCES not in texts.summary:
        return Text(names, weights, scale)
    order = np.argsort(rows.class_ids, kind="stable")
    sentences = torch.from_numpy(_unit(rows.features[order].astype(np.float64)).astype(np.float32))
    return Text(names, weights, scale, sentences, torch.from_numpy(rows.class_ids[order].astype(np.int64)))


def class_weights(rows: TextFeatures, classes: int) -> Array:
    """The unit mean over templates of the unit template features of each class (N, C) float32."""
    return _class_means(rows.class_ids, rows.features, classes)


def _class_means(class_ids: Array, features: Array, classes: int) -> Array:
    units = _unit(features.astype(np.float64))
    sums = np.zeros((classes, units.shape[1]))
    np.add.at(sums, class_ids, units)
    # The mean and the sum have one direction.
    weights: Array = _unit(sums).astype(np.float32)
    return weights


def load_unprojected(projection: Artifact, text: Text) -> Unprojected:
    """What the text tower gives before its projection. Raises `ArtifactDamaged` where that is of other classes or another width."""
    rows = read_unprojected(projection.file(UNPROJECTED))
    if set(rows.class_ids.tolist()) != set(range(text.classes)) or rows.projection.shape[1] != text.weights.shape[1]:
        raise ArtifactDamaged(projection.path / UNPROJECTED, "it does not fit its class texts", projection.remedy)
    features = _class_means(rows.class_ids, rows.features, text.classes)
    return Unprojected(torch.from_numpy(features), torch.from_numpy(rows.projection))


def _unit(vectors: Array) -> Array:
    scaled: Array = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True).clip(min=1e-12)
    return scaled


def support_of(rows: ImageFeatures, shots: int, classes: int) -> Support:
    """The support of image rows (several views a sample, in any order). Raises `InputError` where view counts differ."""
    places: dict[str, list[int]] = {}
    for row, sample in enumerate(rows.sample_ids):
        places.setdefault(sample, []).append(row)
    widths = {len(found) for found in places.values()}
    if len(widths) != 1:
        raise InputError(f"the support's samples have {min(widths)} to {max(widths)} views; extract them again with one --views.")
    order = np.asarray([sorted(found, key=lambda row: int(rows.views[row])) for found in places.values()])
    views = torch.from_numpy(rows.features[order].astype(np.float32))
    labels = torch.from_numpy(rows.labels[order[:, 0]].astype(np.int64))
    units, groups = ([listed[row] for row in order[:, 0]] if listed else [] for listed in (rows.contents, rows.groups))
    return Support.of(list(places), labels, views, shots, classes, units, groups)


def labelled(rows: ImageFeatures) -> Labelled:
    """Rows of plain views as samples to score."""
    features = normalize(torch.from_numpy(rows.features.astype(np.float32)), dim=-1)
    return Labelled(rows.sample_ids, torch.from_numpy(rows.labels.astype(np.int64)), features)


def require_same_encoder(images: Artifact, texts: Artifact, image_width: int, text: Text) -> None:
    """Raise `InputError` where image features, of the first of several encoders, and text features differ in width or in classes."""
    names, several = images.summary["classes"], images.summary.get("widths", ())
    if several and image_width == sum(several):
        image_width = int(several[0])
    if image_width != text.weights.shape[1]:
        widths = f"width {image_width} and {text.weights.shape[1]}"
        raise InputError(f"image features {images.name!r} and text features {texts.name!r} have {widths}; take both from one encoder.")
    if len(names) != text.classes:
        raise InputError(
            f"image features {images.name!r} have {len(names)} classes, text features {texts.name!r} {text.classes}; extract both again."
        )
