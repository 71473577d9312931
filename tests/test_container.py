"""The steps of the Dockerfile, without Docker: xmap from its wheel in an environment of its own, a plain user, nothing that can be written.

Not shown here: the base image, the download of the libraries, which this environment lends, and an address that other machines reach.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.test_wheel import SOURCES, _copy, _run
from tests.worlds.commands import call
from tests.worlds.inputs import write_photos
from tests.worlds.serving import RUN, Client

ROOT = Path(__file__).resolve().parents[1]
DOCKERFILE = ROOT / "examples/serve/Dockerfile"
TOKEN = "a-token-of-the-tests"  # noqa: S105
# Mounts of its own: $1 is to be seen at /srv with the libraries $4 in it, and Python itself at its place $2, which may lie where others
# may not go, as in a home ($3). All is read-only but an empty /tmp. Then a plain user runs the rest, and can become nobody else.
BOX = """
set -e
box=$1 python=$2 home=$3 libraries=$4
shift 4
mount --make-rprivate /
mount --bind "$box" /srv
mount --bind "$libraries" /srv/lent
mount -t tmpfs -o mode=755 tmpfs /mnt
mkdir /mnt/python
mount --bind "$python" /mnt/python
case "$python" in "$home"/*)
    mount -t tmpfs -o mode=755 tmpfs "$home"
    mkdir -p "$python"
    mount --bind /mnt/python "$python"
esac
mount -t tmpfs -o mode=1777 tmpfs /tmp
cut -d ' ' -f 2 /proc/self/mounts | grep -v '^/tmp$' | while read -r place; do mount -o remount,bind,ro "$place" 2>/dev/null || true; done
cd /
exec setpriv --reuid 10001 --regid 10001 --clear-groups --no-new-privs --bounding-set=-all --inh-caps=-all "$@"
"""
WRITES = """
import os, xmap
from pathlib import Path
print(os.getuid(), xmap.__file__)
for place in ("/", "/srv", "/srv/adapter", "/var/tmp", "/dev/shm", "/home", "/tmp"):
    try:
        Path(place, "written").write_text("x")
        print(place)
    except OSError:
        pass
"""


def instruction(name: str) -> str:
    """What the Dockerfile says last by an instruction."""
    lines = DOCKERFILE.read_text("utf-8").replace("\\\n", " ").splitlines()
    return [line.partition(" ")[2] for line in lines if line.startswith(f"{name} ")][-1]


def test_the_container_is_that_of_a_plain_user_who_brings_a_token() -> None:
    assert instruction("USER") == "10001:10001"
    words = json.loads(instruction("ENTRYPOINT")) + json.loads(instruction("CMD"))
    assert words[:2] == ["xmap", "serve"]
    assert words[words.index("--token-file") + 1] == "/run/secrets/xmap-token"


@pytest.fixture
def box(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `env`, an environment with xmap from its wheel, `adapter`, an exported folder, `photo.png` and `token`."""
    tools = [shutil.which(name) for name in ("unshare", "setpriv")]
    if os.geteuid() != 0 or not all(tools) or subprocess.run([str(tools[0]), "--mount", "true"], capture_output=True).returncode:
        pytest.skip("it takes root and namespaces to become a plain user on a read-only file system")
    folder, work = tmp_path_factory.mktemp("box"), tmp_path_factory.mktemp("work")
    (work / "source").mkdir()
    for name in SOURCES:
        _copy(ROOT / name, work / "source" / name)
    pip = [sys.executable, "-m", "pip"]
    _run([*pip, "wheel", "--quiet", "--no-index", "--no-deps", "--no-build-isolation", "-w", str(work), str(work / "source")])
    _run([sys.executable, "-m", "venv", "--without-pip", str(folder / "env")])
    (own,) = (folder / "env").glob("lib/python*/site-packages")
    _run([*pip, "install", "--quiet", "--no-index", "--no-deps", "--target", str(own), *map(str, work.glob("*.whl"))])
    # The libraries are lent, and come after the packages of its own; what of xmap is installed beside them is not looked at.
    (own / "lent.pth").write_text("/srv/lent")
    (folder / "lent").mkdir()
    photos = write_photos(work / "photos")
    assert call(*RUN, "--data", photos, "--methods", "tip-adapter", "--store", work / "store").exit_code == 0
    assert call("export", folder / "adapter", "--store", work / "store").exit_code == 0
    shutil.copy(next(photos.rglob("*.png")), folder / "photo.png")
    (folder / "token").write_text(TOKEN)
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            # As COPY --chmod does it: whoever is in the container may read.
            path.chmod(path.stat().st_mode | stat.S_IRGRP | stat.S_IROTH | (stat.S_IXGRP | stat.S_IXOTH if path.is_dir() else 0))
    return folder


@contextmanager
def boxed(box: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    """A command of the environment in the box, with what the Dockerfile gives it."""
    given = dict(pair.split("=") for pair in instruction("ENV").split())
    environment = {"PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1", **given}
    lent = [str(box), sys.base_prefix, str(Path.home()), sysconfig.get_path("purelib")]
    command = ["unshare", "--mount", "sh", "-c", BOX, "sh", *lent, "/srv/env/bin/python", *words]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.thorough
def test_it_serves_from_its_wheel_as_a_plain_user_on_a_read_only_file_system(box: Path) -> None:
    with boxed(box, "-c", WRITES) as process:
        said, error = process.communicate(timeout=120)
    assert said.splitlines() == ["10001 /srv/env/lib/python{}.{}/site-packages/xmap/__init__.py".format(*sys.version_info), "/tmp"], error  # noqa: S108
    moved = {"/adapter": "/srv/adapter", "/run/secrets/xmap-token": "/srv/token", "0.0.0.0": "127.0.0.1"}  # noqa: S104
    flags = [moved.get(word, word) for word in json.loads(instruction("CMD"))]
    with boxed(box, "-m", "xmap", "serve", *flags, "--port", "0", "--json") as process:
        assert process.stdout
        assert process.stderr
        told = process.stdout.readline()
        assert told, process.stderr.read()
        client = Client(int(json.loads(told)["address"].rpartition(":")[2]), {"authorization": f"Bearer {TOKEN}"})
        reply = client.send(box / "photo.png")
        assert reply.status == 200
        assert reply.json["answers"][0]["class"] in ("ant", "bee", "cat")
        assert Client(client.port).send(box / "photo.png").status == 401
        assert Client(client.port).ask("GET", "/health").json == {"status": "ready"}
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        assert "Traceback" not in process.stderr.read()
