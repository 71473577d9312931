"""The example for Ray Serve, on a Ray cluster of this machine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.worlds.commands import call
from tests.worlds.inputs import write_photos
from tests.worlds.serving import RUN

ROOT = Path(__file__).resolve().parents[1]
# As `serve run` does it, on a free port; the answers are asked for where it runs.
SCRIPT = """
import json, socket, sys
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen
import ray
from ray import serve

with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
ray.init(num_cpus=3, include_dashboard=False, log_to_driver=False, _node_ip_address="127.0.0.1")
serve.start(http_options={"host": "127.0.0.1", "port": port})
from examples.serve.on_ray import app
serve.run(app)
for data in [*(Path(path).read_bytes() for path in sys.argv[1:]), b"no image"]:
    try:
        with urlopen(Request(f"http://127.0.0.1:{port}/", data), timeout=120) as reply:
            print("said:" + json.dumps([reply.status, json.load(reply)]))
    except HTTPError as error:
        print("said:" + json.dumps([error.code, json.load(error)]))
serve.shutdown()
ray.shutdown()
"""


@pytest.mark.thorough
@pytest.mark.cluster
def test_replicas_on_a_cluster_say_what_predict_says(tmp_path: Path) -> None:
    pytest.importorskip("ray.serve", reason="Ray Serve is an extra of Ray's: pip install 'ray[serve]'", exc_type=ImportError)
    import json

    import xmap

    photos = write_photos(tmp_path / "photos")
    assert call(*RUN, "--data", photos, "--methods", "tip-adapter", "--store", tmp_path / "store").exit_code == 0
    assert call("export", tmp_path / "portable", "--store", tmp_path / "store").exit_code == 0
    asked = sorted((photos / "test").rglob("*.png"))[:4]
    environment = {
        **os.environ,
        "XMAP_ADAPTER": str(tmp_path / "portable"),
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
    }
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *map(str, asked)], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240
    )
    replies = [json.loads(line.removeprefix("said:")) for line in done.stdout.splitlines() if line.startswith("said:")]
    assert [status for status, _ in replies] == [200] * 4 + [422], done.stdout + done.stderr
    adapter = xmap.load(str(tmp_path / "portable"))
    for (_, told), expected in zip(replies, adapter.predict(asked), strict=False):
        assert told["adapter"] == adapter.artifact.fingerprint
        assert told["class"] == expected.class_name
        assert told["probability"] == pytest.approx(expected.probability, abs=1e-5)
