"""What a process that loads images says of its own accord."""

from __future__ import annotations

from multiprocessing import AuthenticationError

import pytest

from stages.loading import _but_for_hung_up


@pytest.mark.parametrize("error", [EOFError(), ConnectionResetError(104, "reset"), AuthenticationError("digest received was wrong")])
def test_an_interrupted_main_process_that_hangs_up_is_not_told_again(error: BaseException, capsys: pytest.CaptureFixture[str]) -> None:
    """Ctrl-C in mid-handshake once left the traceback of a worker's thread before the one sentence."""
    _but_for_hung_up(type(error), error, None)
    assert capsys.readouterr().err == ""


def test_any_other_error_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    _but_for_hung_up(ValueError, ValueError("a bug"), None)
    assert "ValueError: a bug" in capsys.readouterr().err
