"""The SQL views and their columns: names, types and meanings. `xmap sql` shows them, and an empty view has them too.

`artifact` is in every view but `unused`: the artifact's folder below the store, by which views join to `artifacts`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

Column = tuple[str, str]
_NAMES: Mapping[str, Column] = {
    "class_name": ("VARCHAR", "name of the true class"),
    "dataset": ("VARCHAR", "name of the dataset"),
    "artifact": ("VARCHAR", "folder of the artifact below the store"),
}
_SAMPLE: Mapping[str, Column] = {
    "sample_id": ("VARCHAR", "path of the image relative to the dataset"),
    "split": ("VARCHAR", "train, val or test; pool, of imported vectors without a label"),
    "label": ("INTEGER", "index of the true class; -1 in a pool"),
}
_RUN: Mapping[str, Column] = {
    "run": ("VARCHAR", "folder name of the adapter"),
    "method": ("VARCHAR", "zero-shot, tip-adapter, xmadapter, ..."),
    "seed": ("INTEGER", "seed of the support, the initialisation and the order"),
}


@dataclass(frozen=True)
class View:
    """A view: what a row is, and its columns' SQL types and meanings."""

    about: str
    columns: Mapping[str, Column]

    def empty(self) -> str:
        """A query with the view's columns and no row."""
        columns = ", ".join(f'CAST(NULL AS {kind}) AS "{name}"' for name, (kind, _) in self.columns.items())
        return f"SELECT {columns} WHERE false"


VIEWS: Mapping[str, View] = {
    "samples": View(
        "one row an image",
        {
            **_SAMPLE,
            "content": ("VARCHAR", "blake3 of the file's bytes; null of imported features and those of version 1"),
            "group": ("VARCHAR", "what belongs together; null where it stands alone. In SQL write it in double quotes"),
            "source": ("VARCHAR", "the file that holds the bytes: the image, its tar or its table; null of features of before"),
            **_NAMES,
        },
    ),
    "features": View(
        "one row a view of an image",
        {
            **_SAMPLE,
            "view": ("SMALLINT", "0 the plain crop, else an augmentation"),
            "feature": ("FLOAT[]", "the encoder's raw output"),
            **_NAMES,
        },
    ),
    "unused": View(
        "one row an image that has features in the store and is in no data set, and maker of these",
        {
            "content": ("VARCHAR", "blake3 of the file's bytes"),
            "views": ("INTEGER", "how many of its views have features"),
            "maker": ("VARCHAR", "folder of them below features/"),
        },
    ),
    "errors": View(
        "one row an image that could not be used",
        {
            "sample_id": _SAMPLE["sample_id"],
            "split": _SAMPLE["split"],
            "path": ("VARCHAR", "its path below the data as it is on disk"),
            "kind": ("VARCHAR", "missing, empty, not-an-image, truncated, damaged, unsupported, too-large, ..."),
            "message": ("VARCHAR", "why, in words"),
            "dataset": _NAMES["dataset"],
            "artifact": _NAMES["artifact"],
        },
    ),
    "affinity": View(
        "one row a sample and epoch (train) or a sample (eval)",
        {
            **_RUN,
            "split": ("VARCHAR", "train, val or test"),
            "epoch": ("INTEGER", "epoch of training, from 1; 0 where nothing was trained"),
            "sample_id": ("VARCHAR", "path of the image relative to the dataset"),
            "label": ("INTEGER", "index of the true class"),
            "predicted": ("INTEGER", "index of the predicted class"),
            "gamma": ("FLOAT", "share of the image affinity in the fused one; 1 is image only"),
            "affinity_image": ("FLOAT", "image-side affinity to the true class"),
            "affinity_text": ("FLOAT", "text-side affinity to the true class"),
            "difference": ("FLOAT", "disagreement of the two sides"),
            "weight": ("FLOAT", "weight of the sample in the loss"),
            "loss": ("FLOAT", "cross entropy, as trained: before any calibration"),
            "margin": ("FLOAT", "logit of the true class minus the best other"),
            "zero_shot_correct": ("BOOLEAN", "whether zero-shot was right"),
            "correct": ("BOOLEAN", "whether the method was right"),
            "neighbor_agreement": ("FLOAT", "share of the nearest cached images with the same label"),
            "neighbors": ("STRUCT(sample_id VARCHAR, label INTEGER, affinity FLOAT)[]", "nearest cached images, best first"),
            "class_name": _NAMES["class_name"],
            "predicted_name": ("VARCHAR", "name of the predicted class"),
            "dataset": _NAMES["dataset"],
            "artifact": _NAMES["artifact"],
        },
    ),
    "predictions": View(
        "one row a test sample, method and seed",
        {
            **_RUN,
            "sample_id": ("VARCHAR", "path of the image relative to the dataset"),
            "label": ("INTEGER", "index of the true class"),
            "predicted": ("INTEGER", "index of the predicted class"),
            "probability": ("FLOAT", "of the predicted class, calibrated: at the adapter's temperature"),
            "true_probability": ("FLOAT", "of the true class, calibrated"),
            "raw_probability": ("FLOAT", "of the predicted class before calibration: as trained"),
            "raw_true_probability": ("FLOAT", "of the true class before calibration"),
            "set_size": ("INTEGER", "classes in its prediction set; null where the adapter kept no samples to make sets by"),
            "in_set": ("BOOLEAN", "whether the true class is in its prediction set"),
            "strangeness": ("DOUBLE", "how far the image is from everything the adapter knows, 0 to 1"),
            "encoder_said": ("INTEGER[]", "of several encoders the class that each one alone says, in their order; null of one encoder"),
            "encoder_share": ("FLOAT[]", "and how much of what is said comes from each: its share of the spread of logits, 0 to 1"),
            "zero_shot": ("INTEGER", "index of zero-shot's class"),
            "top5": ("INTEGER[]", "the five best classes, best first"),
            "top5_probability": ("FLOAT[]", "the calibrated probability of each of them"),
            "top5_image": ("FLOAT[]", "image-side affinity to each of them; null where the method has no image cache"),
            "top5_text": ("FLOAT[]", "text-side affinity to each of them; null where the method has no text cache"),
            "class_name": _NAMES["class_name"],
            "predicted_name": ("VARCHAR", "name of the predicted class"),
            "dataset": _NAMES["dataset"],
            "artifact": _NAMES["artifact"],
        },
    ),
    "out_of_sample": View(
        "one row a labelled sample and adapter: what never learned its label says of it",
        {
            **_RUN,
            **_SAMPLE,
            "label_probability": (
                "FLOAT",
                "of the true class: of train by texts and the nearest other cached images, else the adapter's",
            ),
            "likely": ("INTEGER", "index of the most probable class"),
            "likely_probability": ("FLOAT", "its probability"),
            "class_name": _NAMES["class_name"],
            "likely_name": ("VARCHAR", "name of the most probable class"),
            "dataset": _NAMES["dataset"],
            "artifact": _NAMES["artifact"],
        },
    ),
    "neighbors": View(
        "one row a sample and one of its nearest cached images",
        {
            **_RUN,
            "split": ("VARCHAR", "train, val or test"),
            "epoch": ("INTEGER", "epoch of training, from 1; 0 where nothing was trained"),
            "sample_id": ("VARCHAR", "the sample asked about"),
            "label": ("INTEGER", "its true class"),
            "rank": ("INTEGER", "1 is the nearest"),
            "neighbor_id": ("VARCHAR", "the cached image"),
            "neighbor_label": ("INTEGER", "the cached image's class"),
            "affinity": ("FLOAT", "affinity between the two"),
            "artifact": _NAMES["artifact"],
        },
    ),
    "pairs": View(
        "one row an image and another that is the same, byte for byte or nearly; found by `xmap eval`",
        {
            **_SAMPLE,
            "other_split": ("VARCHAR", "split of the other: the same or an earlier one"),
            "other_id": ("VARCHAR", "the other image"),
            "other_label": ("INTEGER", "index of the other's class"),
            "cosine": ("FLOAT", "of the two images' features"),
            "exact": ("BOOLEAN", "whether they are the same byte for byte"),
            "class_name": _NAMES["class_name"],
            "other_class": ("VARCHAR", "name of the other's class"),
            "dataset": _NAMES["dataset"],
            "artifact": _NAMES["artifact"],
        },
    ),
    "sentences": View(
        "one row a text of a class, of caches whose classes are described with --descriptions: how much it counts",
        {
            "label": ("INTEGER", "index of the class"),
            "sentence": ("VARCHAR", "the text: a sentence, or a prompt with the name of the class in it"),
            "weight": ("DOUBLE", "its share in the text of the class, as the images of the cache weigh it; those of a class add up to 1"),
            "class_name": ("VARCHAR", "name of the class"),
            "dataset": _NAMES["dataset"],
            "artifact": _NAMES["artifact"],
        },
    ),
    "answers": View(
        "one row an image of a pool that was labelled with `xmap predict --store-as NAME`",
        {
            "name": ("VARCHAR", "the NAME given with --store-as"),
            **_RUN,
            "path": ("VARCHAR", "what leads to the image: its path, or with --data its id"),
            "class": ("VARCHAR", "the answer; empty for an image that is rejected, null for one that cannot be read"),
            "probability": ("FLOAT", "of the most probable class, calibrated"),
            "second": ("VARCHAR", "the second choice"),
            "second_probability": ("FLOAT", "its probability"),
            "zero_shot": ("VARCHAR", "what the encoder alone would say"),
            "zero_shot_probability": ("FLOAT", "its probability"),
            "known": ("BOOLEAN", "whether the adapter learned from these very bytes; null where that cannot be told"),
            "set": ("VARCHAR[]", "the classes in the prediction set, best first; null without --sets"),
            "set_size": ("INTEGER", "how many these are"),
            "nearest": ("VARCHAR", "the most probable class, also of an image that is rejected; null without --reject"),
            "strangeness": ("DOUBLE", "how far the image is from everything the adapter knows, 0 to 1; null without --reject"),
            "probabilities": ("STRUCT(class VARCHAR, probability FLOAT)[]", "of all classes, or of the most probable of many"),
            "gamma": ("FLOAT", "share of the image affinity in the fused one; null without --explain"),
            "evidence": (
                "STRUCT(class VARCHAR, affinity_image FLOAT, affinity_text FLOAT)[]",
                "both affinities to the five best classes; null without --explain",
            ),
            "neighbors": (
                "STRUCT(sample_id VARCHAR, class VARCHAR, affinity FLOAT)[]",
                "nearest cached images, best first; null without --explain",
            ),
            "given": ("VARCHAR", "the image's row in the table that named it, as JSON: given->>'column'; null without such a table"),
            "error": ("VARCHAR", "why the image cannot be read: its kind; null for one that can"),
            "message": ("VARCHAR", "the same in words"),
            "dataset": ("VARCHAR", "name of the dataset whose classes these are"),
            "artifact": _NAMES["artifact"],
        },
    ),
    "artifacts": View(
        "one row an artifact",
        {
            "stage": ("VARCHAR", "the stage that made it"),
            "name": ("VARCHAR", "its name"),
            "fingerprint": ("VARCHAR", "hash of all that determines its bytes"),
            "created": ("VARCHAR", "when, ISO 8601 in UTC"),
            "used": ("VARCHAR", "when a run used it last, where that is known, else when it was made: the newest is the one used last"),
            "seconds": ("DOUBLE", "how long it took"),
            "bytes": ("BIGINT", "size of its files"),
            "shared_bytes": ("BIGINT", "size of its makers' feature rows, which it shares with others; null where it refers to none"),
            "path": ("VARCHAR", "its folder below the store"),
            "artifact": _NAMES["artifact"],
        },
    ),
    "runs": View(
        "one row a method and seed of an evaluation",
        {
            **_RUN,
            "shots": ("INTEGER", "labelled images a class"),
            "accuracy": ("DOUBLE", "top-1 on test of this seed, percent"),
            "accuracy_mean": ("DOUBLE", "top-1 on test over the method's seeds, percent"),
            "accuracy_low": ("DOUBLE", "lower end of its 95 % interval"),
            "accuracy_high": ("DOUBLE", "upper end of its 95 % interval"),
            "ci_kind": ("VARCHAR", "what the interval is over"),
            "top5_mean": ("DOUBLE", "top-5 on test over the seeds, percent"),
            "ece_mean": ("DOUBLE", "expected calibration error over the seeds, percent"),
            "raw_ece_mean": ("DOUBLE", "the same before calibration"),
            "temperature": ("DOUBLE", "what this seed's logits are divided by for its probabilities; 1 is as trained"),
            "log_loss_mean": ("DOUBLE", "mean of minus the logarithm of the true class's probability, over the seeds"),
            "raw_log_loss_mean": ("DOUBLE", "the same before calibration"),
            "brier_mean": ("DOUBLE", "Brier score over the seeds: squared distance of the probabilities from the truth, 0 to 2"),
            "aurc_mean": ("DOUBLE", "area under risk against coverage: error, percent, averaged over all shares of surest answers"),
            "balanced_accuracy_mean": ("DOUBLE", "mean accuracy of the classes, percent"),
            "macro_f1_mean": ("DOUBLE", "mean F1 of the classes, percent"),
            "coverage_mean": ("DOUBLE", "share of prediction sets that hold the true class, percent; null where there are none"),
            "coverage_low": ("DOUBLE", "lower end of its 95 % interval"),
            "coverage_high": ("DOUBLE", "upper end of its 95 % interval"),
            "coverage_promised": ("DOUBLE", "what the sets promise, percent"),
            "set_size_mean": ("DOUBLE", "classes a prediction set"),
            "single_share": ("DOUBLE", "share of prediction sets of one class, percent"),
            "worst_coverage": ("DOUBLE", "coverage of the class that has the lowest, percent"),
            "sets_by": ("VARCHAR", "the samples that the sets are made by and what they warrant, or why there are no sets"),
            "largest_share": ("DOUBLE", "share of the test images that the largest class has, percent"),
            "calibrated_on": ("VARCHAR", "what the temperature was fitted on"),
            "selected_on": ("VARCHAR", "what settings were chosen on"),
            "trials": ("INTEGER", "how many settings were tried"),
            "trainable_parameters": ("BIGINT", "how many numbers were trained"),
            "train_seconds": ("DOUBLE", "how long training took"),
            "peak_bytes": ("BIGINT", "most memory while training: of the GPU, else of the process"),
            "ms_per_query": ("DOUBLE", "milliseconds to score one feature"),
            "stored_bytes": ("BIGINT", "size of the trained tensors"),
            "text": ("VARCHAR", "class texts: prompts, or coop where they were tuned"),
            "pool": ("VARCHAR", "the images without labels that were learned from too, in words"),
            "created": ("VARCHAR", "when, ISO 8601 in UTC"),
            "dataset": _NAMES["dataset"],
            "artifact": _NAMES["artifact"],
        },
    ),
}
