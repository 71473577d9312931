"""Wall time, processor time and peak memory of whole `xmap` processes."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass

COMMAND = [sys.executable, "-c", "from xmap.cli.main import main; main()"]
# A process counts what its parent held when it was forked: so a parent that holds nothing starts and measures it.
LAUNCH = """
import json, os, subprocess, sys, time
started = time.perf_counter()
child = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, usage = os.wait4(child.pid, 0)
print(json.dumps([status, time.perf_counter() - started, usage.ru_maxrss, usage.ru_utime + usage.ru_stime]))
"""


@dataclass(frozen=True)
class Cost:
    """What a process took: wall seconds, resident memory in bytes at the highest of the largest of its processes, processor seconds."""

    seconds: float
    peak: float
    processor: float


def measure(words: list[str]) -> Cost:
    """Run `xmap WORDS`; its peak is that of the largest among it and the processes it started and waited for."""
    ran = subprocess.run(  # noqa: S603  (our own command)
        [sys.executable, "-S", "-c", LAUNCH, *COMMAND, *words], capture_output=True, text=True, check=True
    )
    status, seconds, kibibytes, processor = json.loads(ran.stdout)
    if status:
        raise SystemExit(f"xmap {words[0]} failed: {ran.stderr.strip()}")
    return Cost(seconds, kibibytes * 1024, processor)
