"""The system refuses what it is asked for, once or from there on: one sentence or a full result, and nothing that is lost or half done."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.promises.conftest import Commands, Control, Ended
from tests.promises.test_interruption import goes_on, is_sound
from tests.worlds.faults import Case
from tests.worlds.runs import RUN, tree
from tests.worlds.strace import failing, needed

# What each call may answer in place of doing its work. Interrupted calls are made again for ever where they are always interrupted.
ANSWERS = {
    "fsync": ("EIO", "ENOSPC", "ESTALE", "EINTR"),
    "fdatasync": ("EIO",),
    "write": ("EIO", "ENOSPC", "ESTALE", "EINTR"),
    "pwrite64": ("EIO", "ENOSPC"),
    "read": ("EIO", "ESTALE", "EINTR"),
    "pread64": ("EIO",),
    "rename": ("EIO", "ENOSPC", "ESTALE"),
    "openat": ("EMFILE", "EIO", "ESTALE", "EINTR"),
    "newfstatat": ("EIO", "ESTALE"),
    "mkdir": ("ENOSPC", "EIO"),
    "unlink": ("EIO",),
}
INTERRUPTED = "EINTR"
PARTS = 4


@dataclass(frozen=True)
class Fault:
    """The `number`-th call of this name answers with an error, or with `+` all from there on."""

    call: str
    error: str
    number: int
    more: str = ""

    def tracer(self) -> list[str]:
        return failing(self.call, self.error, f"{self.number}{self.more}")


# In the middle of a run.
SAMPLE = (Fault("fsync", "EIO", 30), Fault("openat", "EMFILE", 300, "+"))


@pytest.fixture(scope="module")
def counted(commands: Commands, world: Path, tmp_path_factory: pytest.TempPathFactory) -> Counter[str]:
    """How often a run asks the system for what."""
    folder = tmp_path_factory.mktemp("counted")
    log = folder / "log"
    tracer = ["strace", "-f", "-q", "-s", "0", "-e", f"trace={','.join(ANSWERS)}", "-e", "signal=none", "-o", str(log), "-p"]
    assert commands(*RUN, cwd=world, store=folder / "store", tracer=tracer).code == 0
    return Counter(re.findall(r"^\d+ +(\w+)\(", log.read_text("utf-8", "replace"), re.MULTILINE))


def every(counted: Counter[str]) -> Iterator[Fault]:
    """Each answer to each call, once and from there on, at places that differ from one to the next."""
    for call, errors in ANSWERS.items():
        for place, error in enumerate(errors):
            for more in ("", "+") if error != INTERRUPTED else ("",):
                part = (2 * place + len(more) + 1) / (2 * len(errors) + 1)
                yield Fault(call, error, max(1, int(part * counted[call])), more)


def is_said(ended: Ended) -> None:
    """One sentence and exit code 2."""
    said = [line for line in ended.stderr.splitlines() if line.startswith("xmap: ") and not line.startswith("xmap: warning")]
    assert ended.code == 2, ended.stderr
    assert len(said) == 1, ended.stderr
    assert "Traceback" not in ended.stderr


def refused(commands: Commands, world: Path, control: Control, store: Path, fault: Fault) -> Ended:
    ended = commands(*RUN, cwd=world, store=store, tracer=fault.tracer())
    if ended.code:
        is_said(ended)
    else:
        assert tree(store) == control.tree
    is_sound(store)
    goes_on(commands, RUN, world, store, control.tree)
    return ended


@needed
@pytest.mark.failure("passing error")
def test_what_the_system_refuses_is_one_sentence_or_a_full_result(
    commands: Commands, world: Path, control: Control, tmp_path: Path, case: Case
) -> None:
    for fault in SAMPLE:
        with case():
            assert refused(commands, world, control, tmp_path / fault.call, fault).code == 2


@needed
@pytest.mark.thorough
@pytest.mark.timeout(1200)
@pytest.mark.failure("passing error")
@pytest.mark.parametrize("part", range(PARTS))
def test_each_refusal_at_each_call_is_one_sentence_or_a_full_result(
    commands: Commands, world: Path, control: Control, counted: Counter[str], tmp_path: Path, case: Case, part: int
) -> None:
    for number, fault in enumerate(list(every(counted))[part::PARTS]):
        with case():
            try:
                refused(commands, world, control, tmp_path / str(number), fault)
            except AssertionError as error:
                raise AssertionError(f"{fault}: {error}") from error


@pytest.mark.failure("passing error")
def test_a_write_that_takes_a_part_and_then_no_more_is_one_sentence(
    commands: Commands, world: Path, control: Control, tmp_path: Path, case: Case
) -> None:
    """Beyond the largest file that a process may write the system takes what fits, and then nothing."""
    store = tmp_path / "store"
    with case():
        is_said(commands(*RUN, cwd=world, store=store, fault=("largest", 3000)))
        is_sound(store)
        goes_on(commands, RUN, world, store, control.tree)
