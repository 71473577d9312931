"""The kernel that FAISS's OpenBLAS is asked for: one that was tried, never where the user has said one, and nobody hears of it after."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from xmap.store.disk.processor import processor_flags
from xmap.store.errors import InputError
from xmap.store.formats import faiss_library
from xmap.store.formats.faiss_library import FAST, KERNELS, NOTES, VARIABLE, kernel

WIDE = frozenset[str]().union(*KERNELS.values())
GOOD, WRONG = True, False


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Which kernels were tried: a processor with all flags, and an OpenBLAS that by itself takes its slowest."""
    names: list[str] = []
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr(faiss_library, "processor_flags", lambda: WIDE)
    answering(monkeypatch, names, {"": ("Prescott", GOOD), "SkylakeX": ("SkylakeX", GOOD), "Haswell": ("Haswell", GOOD)})
    return names


def answering(monkeypatch: pytest.MonkeyPatch, names: list[str], answers: dict[str, tuple[str, bool] | None]) -> None:
    def trial(name: str) -> dict[str, Any] | None:
        names.append(name)
        answer = answers[name]
        return answer and {"kernel": answer[0], "agrees": answer[1]}

    monkeypatch.setattr(faiss_library, "_trial", trial)


def test_a_kernel_is_tried_once_and_remembered(tried: list[str], tmp_path: Path) -> None:
    assert [kernel(), kernel()] == ["SkylakeX", "SkylakeX"]
    assert tried == ["", "SkylakeX"]
    assert (tmp_path / "xmap" / NOTES).is_file()


def test_another_processor_is_tried_anew(tried: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert kernel() == "SkylakeX"
    monkeypatch.setattr(faiss_library, "processor_flags", lambda: KERNELS["Haswell"])
    assert kernel() == "Haswell"
    monkeypatch.setattr(faiss_library, "processor_flags", lambda: frozenset({"sse2"}))
    assert kernel() == ""
    assert tried == ["", "SkylakeX", "", "Haswell"]


def test_what_the_user_says_stands(tried: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "Haswell")
    assert kernel() == ""
    assert tried == []


@pytest.mark.parametrize("own", FAST)
def test_a_fast_kernel_of_its_own_is_left(tried: list[str], monkeypatch: pytest.MonkeyPatch, own: str) -> None:
    answering(monkeypatch, tried, {"": (own, GOOD)})
    assert [kernel(), kernel()] == ["", ""]
    assert tried == [""]


def test_a_kernel_that_is_wrong_or_not_there_is_not_taken(tried: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, tried, {"": ("Prescott", GOOD), "SkylakeX": ("SkylakeX", WRONG), "Haswell": ("Prescott", GOOD)})
    assert [kernel(), kernel()] == ["", ""]
    assert tried == ["", "SkylakeX", "Haswell"]


@pytest.mark.parametrize("silent", ["", "SkylakeX"])
def test_a_trial_without_an_answer_is_made_again(tried: list[str], monkeypatch: pytest.MonkeyPatch, silent: str) -> None:
    answering(monkeypatch, tried, {"": ("Prescott", GOOD), "SkylakeX": ("SkylakeX", GOOD), silent: None})
    assert kernel() == ""
    answering(monkeypatch, tried, {"": ("Prescott", GOOD), "SkylakeX": ("SkylakeX", GOOD)})
    assert kernel() == "SkylakeX"


def test_a_note_of_anything_else_is_no_kernel(tried: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faiss_library, "_tried", lambda allowed: "/tmp/x; a kernel")  # noqa: S108
    assert kernel() == ""


@pytest.mark.parametrize(
    ("script", "answer"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGILL)", {"kernel": "SkylakeX", "agrees": False}),
        ("import os; os._exit(1)", None),
        ("print('[]')", None),
        ("import time; time.sleep(60)", None),
    ],
)
def test_a_trial_may_crash_fail_or_hang(monkeypatch: pytest.MonkeyPatch, script: str, answer: dict[str, Any] | None) -> None:
    real = subprocess.run
    monkeypatch.setattr(subprocess, "run", lambda command, **options: real([command[0], "-c", script], **options))
    monkeypatch.setattr(faiss_library, "PATIENCE", 1 if "sleep" in script else 60)
    assert faiss_library._trial("SkylakeX") == answer


SCRIPT = """
import os
from xmap.store.disk.processor import processor_flags
from xmap.store.formats import faiss_library
faiss_library.kernel = lambda: "Haswell"
faiss = faiss_library.load_faiss()
print(faiss_library.running(), os.environ.get("OPENBLAS_CORETYPE"), faiss_library.load_faiss() is faiss)
"""


@pytest.mark.skipif(find_spec("faiss") is None or not KERNELS["Haswell"] <= processor_flags(), reason="no processor of that kind")
def test_faiss_runs_the_kernel_that_was_asked_for_and_no_child_hears_of_it() -> None:
    """The real library: where its BLAS tells what it runs, it is what was asked for, and it agrees with NumPy."""
    environment = {name: value for name, value in os.environ.items() if name != VARIABLE}
    command = [sys.executable, "-c", SCRIPT]
    found = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True, env=environment).stdout.split()
    assert found[-2:] == ["None", "True"]
    answer = faiss_library._trial("Haswell")
    assert answer is not None
    assert answer["agrees"]
    assert found[:-2] == ([answer["kernel"]] if answer["kernel"] else [])
    assert answer["kernel"] in ("Haswell", "")


def test_numpys_own_blas_is_not_taken_for_faiss() -> None:
    script = "import numpy\nfrom xmap.store.formats.faiss_library import running\nprint(repr(running()))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "''"


@pytest.mark.parametrize("line", ["raise RuntimeError('faiss-gpu installed but nvidia-cublas-cu12 is missing')", "import nowhere.at_all"])
def test_a_library_that_lacks_something_is_one_sentence(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "faiss").mkdir()
    (tmp_path / "faiss" / "__init__.py").write_text(line)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "faiss", raising=False)
    monkeypatch.setenv(VARIABLE, "Haswell")
    with pytest.raises(InputError, match=r"FAISS cannot be loaded \((faiss-gpu installed|No module named).*\); install xmap anew"):
        faiss_library.load_faiss()
