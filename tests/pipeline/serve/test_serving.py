"""A server of an adapter, asked over HTTP: the answers of `predict`, one at a time and many at once, and a new adapter in between."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import xmap
from tests.worlds.commands import call
from tests.worlds.serving import RUN, Client, Running, in_base64, serving, wait_until
from xmap.pipeline.serve.loaded import LoadedAdapter, Ready


@pytest.fixture(scope="module")
def server(world: Path) -> Iterator[Running]:
    with serving(world / "store") as running:
        yield running


@pytest.fixture
def client(server: Running) -> Client:
    return server.client


def test_answers_are_those_of_predict(world: Path, client: Client, photos: list[Path]) -> None:
    adapter = xmap.load(store=world / "store")
    expected = [prediction.facts() for prediction in adapter.predict(photos)]
    reply = client.send(*photos, top=3)
    assert reply.status == 200, reply.body
    assert reply.json["adapter"] == adapter.artifact.fingerprint
    for found, told, path in zip(reply.json["answers"], expected, photos, strict=True):
        assert found["path"] == path.name
        assert found["class"] == told["class"]
        assert found["probability"] == pytest.approx(told["probability"], abs=1e-5)
        assert found["probabilities"] == pytest.approx(told["probabilities"], abs=1e-5)
        assert found.keys() == told.keys()
    assert "forward;dur=" in reply.headers["server-timing"]


def test_json_and_forms_say_the_same(client: Client, photos: list[Path]) -> None:
    by_form = client.send(*photos[:2], top=1, reject=0.5).json
    by_json = client.post({"images": [in_base64(path) for path in photos[:2]], "top": 1, "reject": 0.5}).json
    assert_alike(by_json, by_form)
    assert [list(answer["probabilities"]) for answer in by_json["answers"]] == [[answer["nearest"]] for answer in by_json["answers"]]
    assert all(0 <= answer["strangeness"] <= 1 for answer in by_json["answers"])


def assert_alike(one: Any, other: Any) -> None:
    """The same, but for last digits of numbers, which may depend on what shares a batch."""
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_alike(one[key], other[key])
    elif isinstance(one, list):
        assert len(one) == len(other)
        for pair in zip(one, other, strict=True):
            assert_alike(*pair)
    else:
        assert one == (pytest.approx(other, abs=1e-5) if isinstance(other, float) else other)


def test_sets_are_said_where_they_are_asked_for(client: Client, photos: list[Path]) -> None:
    (answer,) = client.send(photos[0], sets=0.5, sets_by="class").json["answers"]
    assert answer["set_size"] == len(answer["set"]) >= 1
    assert "set" not in client.send(photos[0]).json["answers"][0]


def test_a_bad_image_is_said_beside_the_answers_of_the_others(client: Client, photos: list[Path]) -> None:
    reply = client.send(photos[0], ("notes.txt", b"no image"), photos[1])
    assert reply.status == 200
    assert [answer.get("error") for answer in reply.json["answers"]] == [None, "not-an-image", None]


def test_many_at_once_are_answered_in_batches(server: Running, photos: list[Path]) -> None:
    before = counted(server.client, "xmap_batch_images_count")
    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(server.client.send, photos * 6))
    assert {reply.status for reply in replies} == {200}
    expected = [server.client.send(path).json["answers"][0]["class"] for path in photos] * 6
    assert [reply.json["answers"][0]["class"] for reply in replies] == expected
    batches = counted(server.client, "xmap_batch_images_count") - before - len(photos)
    assert batches < len(replies), "some were answered together"


def counted(client: Client, name: str) -> float:
    lines = client.ask("GET", "/metrics").body.decode().splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))


def test_it_says_what_it_serves_and_how_to_ask(server: Running, world: Path) -> None:
    assert server.client.ask("GET", "/health").json == {"status": "ready"}
    told = server.client.ask("GET", "/adapter")
    assert told.json["classes"] == ["ant", "bee", "cat"]
    assert (told.json["method"], told.json["dataset"]) == ("tip-adapter", "photos")
    described = server.client.ask("GET", "/openapi.json")
    assert set(described.json["paths"]) == {"/predict", "/adapter", "/health", "/metrics"}
    assert {"200", "400", "413", "422", "503", "504"} <= set(described.json["paths"]["/predict"]["post"]["responses"])
    assert str(world) not in told.body.decode() + described.body.decode() + server.client.ask("GET", "/metrics").body.decode()


def test_requests_in_hand_keep_their_adapter_and_later_ones_get_the_new(
    world: Path, photos: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both adapters answer at the same time, each its own requests; none is lost."""
    go, answers = threading.Event(), LoadedAdapter.answers

    def held(loaded: LoadedAdapter, batch: list[Ready]) -> object:
        if batch[0].name == "held.png":
            assert go.wait(20)
        return answers(loaded, batch)

    monkeypatch.setattr(LoadedAdapter, "answers", held)
    with serving(world / "store", name="photos") as running, ThreadPoolExecutor(2) as pool:
        old = running.serving.service.loaded.fingerprint
        waiting = pool.submit(running.client.send, ("held.png", photos[0].read_bytes()))
        wait_until(lambda: running.serving.service.batcher.waiting == 1)
        done = call(*RUN, "--data", world / "photos", "--methods", "tip-adapter-f", "--store", world / "store")
        assert done.exit_code == 0, done.output
        running.serving.service.reload()
        late = pool.submit(running.client.send, photos[0])
        wait_until(lambda: running.serving.service.batcher.waiting == 2)
        go.set()
        assert waiting.result().json["adapter"] == old
        new = late.result().json["adapter"]
        assert new == running.serving.service.loaded.fingerprint != old
        (world / "store").rename(world / "away")
        running.serving.service.reload()
        (world / "away").rename(world / "store")
        assert "no other adapter was taken" in running.said[-1]
        assert running.client.send(photos[0]).json["adapter"] == new


def test_stopping_finishes_what_is_in_hand(world: Path, photos: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    go, answers = threading.Event(), LoadedAdapter.answers

    def held(loaded: LoadedAdapter, batch: list[Ready]) -> object:
        assert not batch[0].name.endswith("0.png") or go.wait(20)
        return answers(loaded, batch)

    monkeypatch.setattr(LoadedAdapter, "answers", held)
    with ThreadPoolExecutor(1) as pool:
        with serving(world / "store") as running:
            waiting = pool.submit(running.client.send, photos[0])
            wait_until(lambda: running.serving.service.batcher.waiting == 1)
            running.serving.stop()
            threading.Timer(0.3, go.set).start()
        assert waiting.result().status == 200
        with pytest.raises(ConnectionRefusedError):
            running.client.ask("GET", "/health")
