"""A real S3-compatible server on this machine, in a process of its own, and folders copied into its buckets."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_DEFAULT_REGION": "us-east-1"}


@contextmanager
def server() -> Iterator[str]:
    """The address of a server that runs while the block does."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            address = f"http://127.0.0.1:{port}"
            _wait(address, process)
            yield address
        finally:
            process.kill()


def environment(address: str) -> dict[str, str]:
    """What tells a client where the server is and who asks; nothing else is asked for credentials, and nothing waits long."""
    return {**CREDENTIALS, "AWS_ENDPOINT_URL": address, "AWS_EC2_METADATA_DISABLED": "true", "AWS_MAX_ATTEMPTS": "1"}


class Bucket:
    """A bucket of its own."""

    def __init__(self) -> None:
        import s3fs

        # A storage that was opened with other credentials or another address.
        s3fs.S3FileSystem.clear_instance_cache()
        self.files, self.name = s3fs.S3FileSystem(use_listings_cache=False), f"bucket-{uuid.uuid4().hex[:8]}"
        self.files.mkdir(self.name)

    def put(self, folder: Path, name: str = "") -> str:
        """Copy a file or a folder into the bucket; its URL."""
        name = name or folder.name
        for path in [folder] if folder.is_file() else sorted(path for path in folder.rglob("*") if path.is_file()):
            inside = name if folder.is_file() else f"{name}/{path.relative_to(folder).as_posix()}"
            self.files.pipe_file(f"{self.name}/{inside}", path.read_bytes())
        return f"s3://{self.name}/{name}"


def _wait(address: str, process: subprocess.Popen[bytes]) -> None:
    for _ in range(300):
        assert process.poll() is None, "the server ended"
        try:
            with urlopen(address, timeout=1):  # noqa: S310
                return
        except (URLError, OSError):
            time.sleep(0.1)
    raise AssertionError(f"no server at {address}")
