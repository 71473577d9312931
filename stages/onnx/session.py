"""An ONNX file at work: the only module that imports onnxruntime. On the CPU, with threads of its own, and the standard's operations."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from xmap.stages.onnx.form import ALWAYS, OUTPUTS, PIXELS, About
from xmap.stages.onnx.wire import require_own
from xmap.store.errors import InputError
from xmap.store.formats.tables import Array, first_line

# Where OpenMP's libraries, torch among them, look how many threads they may have.
THREADS = "OMP_NUM_THREADS"
ERROR = 3


def has_onnxruntime() -> bool:
    """Whether the library is installed. It is not imported."""
    return find_spec("onnxruntime") is not None


class Session:
    """A model at work. `about` says what it is.

    Raises `InputError` for bytes that are no such model, and for one that asks for code or files of others: its weights may lie in
    `folder` beside it, under one name.
    """

    def __init__(self, data: bytes, folder: Path) -> None:
        import onnxruntime

        require_own(data)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = _threads(), 1
        options.log_severity_level = ERROR
        # A second copy of all weights, in the order in which products like them, is made in the time of several answers.
        options.add_session_config_entry("session.disable_prepacking", "1")
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(folder.resolve()))
        try:
            self._session: Any = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        # Its errors have no class in common but that one.
        except Exception as error:
            raise InputError(f"onnxruntime cannot load it ({first_line(error)}); export it again with --onnx.") from error
        self.about = About.of(self._session.get_modelmeta().custom_metadata_map)
        taken, self._outputs = self._session.get_inputs(), [output.name for output in self._session.get_outputs()]
        shape = taken[0].shape if [value.name for value in taken] == [PIXELS] else []
        known = set(ALWAYS) <= set(self._outputs) <= set(OUTPUTS) and list(shape[1:]) == [*self.about.preprocess["size"], 3]
        if not known:
            raise InputError("its input and outputs are not those that xmap writes; export it again with --onnx.")

    @property
    def size(self) -> tuple[int, int]:
        """The height and width of the pixels that it takes."""
        height, width = self.about.preprocess["size"]
        return height, width

    def run(self, pixels: Array) -> Mapping[str, Array]:
        """The `OUTPUTS` that it has, of pixels (B, H, W, 3) uint8. Raises `InputError`."""
        try:
            return dict(zip(self._outputs, self._session.run(self._outputs, {PIXELS: pixels}), strict=True))
        except Exception as error:
            raise InputError(f"onnxruntime cannot run it ({first_line(error)}); export it again with --onnx.") from error


def _threads() -> int:
    """As many as the processors that this process may use, or as it was told."""
    told = os.environ.get(THREADS, "")
    return int(told) if told.isdecimal() and int(told) else len(os.sched_getaffinity(0))
