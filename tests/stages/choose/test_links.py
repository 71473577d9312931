"""A folder of links to the images to label."""

from __future__ import annotations

from pathlib import Path

import pytest

from xmap.stages.choose.candidates import Candidate
from xmap.stages.choose.links import linked
from xmap.store.errors import InputError


@pytest.mark.failure("at once")
def test_a_folder_that_another_run_fills_meanwhile_is_said_to_be(tmp_path: Path) -> None:
    """Both found it empty."""
    image = tmp_path / "a.png"
    image.write_bytes(b"a picture")
    one = Candidate("a.png", "0" * 64, image, image, 0, 0.5, (0, 1), "")
    assert linked([one], tmp_path / "links")[0].file == image
    with pytest.raises(InputError, match=r"links was filled by somebody else in the meantime; name a folder of your own"):
        linked([one], tmp_path / "links")
