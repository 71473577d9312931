"""Whether the model hub answers is asked once and quickly."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest

import xmap.stages.encoder.hub
from xmap.stages.config import EncoderConfig
from xmap.stages.encoder.ask import ask_open_clip
from xmap.stages.encoder.hub import asked_once, reachable
from xmap.store.errors import InputError


@pytest.fixture
def listening() -> Iterator[str]:
    """The address of something that listens on this machine."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xmap.stages.encoder.hub, "getproxies", dict)


@pytest.fixture
def closed() -> str:
    """An address where nothing listens any more."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"http://127.0.0.1:{server.getsockname()[1]}"


def test_what_listens_is_reachable(listening: str) -> None:
    assert reachable(listening)


def test_what_does_not_listen_is_not(closed: str) -> None:
    assert not reachable(closed)


@pytest.mark.parametrize("address", ["", "http://", "https://name.invalid"])
def test_no_address_at_all_is_not(address: str) -> None:
    assert not reachable(address, 1.0)


def test_a_look_up_that_hangs_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(*_: object) -> None:
        time.sleep(0.5)
        raise TimeoutError

    monkeypatch.setattr(socket, "create_connection", hang)
    assert not reachable("http://somewhere", 0.1)


def test_a_proxy_is_believed(monkeypatch: pytest.MonkeyPatch, closed: str) -> None:
    monkeypatch.setattr(xmap.stages.encoder.hub, "getproxies", lambda: {"https": "http://proxy"})
    assert reachable(closed)


def test_without_a_hub_its_client_stays_offline_and_only_meanwhile(monkeypatch: pytest.MonkeyPatch, closed: str) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", closed)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with asked_once() as answers:
        assert (answers, constants.is_offline_mode()) == (False, True)
    assert not constants.is_offline_mode()


@pytest.mark.parametrize("model", ["ViT-B-32-quickgelu", "RN50-quickgelu", "hf-hub:org/repo"])
def test_weights_that_are_nowhere_are_one_sentence_at_once(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], closed: str, model: str
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", closed)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with pytest.raises(InputError, match=r"not on this machine, and the model hub does not answer\); go online once") as caught:
        ask_open_clip(EncoderConfig(model=model, pretrained="openai"))
    assert "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""
