"""What the recorded command of an older artifact says of its images and encoder: its manifest states no source.

Read where there is no statement, and never written. The flags are those of then: a new setting adds none.
"""

from __future__ import annotations

import shlex

FLAGS = {
    "data": {
        "--split-seed": "split_seed",
        "--val-share": "val_share",
        "--test-share": "test_share",
        "--train-per-class": "train_per_class",
    },
    "encoder": {
        "--model": "model",
        "--pretrained": "pretrained",
        "--precision": "precision",
        "--force-quick-gelu": "force_quick_gelu",
    },
}
SWITCHES = ("--force-quick-gelu",)


def recorded(command: str, section: str) -> dict[str, str | bool]:
    """The settings of a section that `command` gives."""
    words, flags = shlex.split(command), FLAGS[section]
    return {flags[word]: word in SWITCHES or value for word, value in zip(words, [*words[1:], ""], strict=True) if word in flags}
