"""`--precision auto` is a format of this machine, and is that format in everything that is fingerprinted, noted and said."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.worlds.inputs import write_photos
from xmap.pipeline.run.plan import make_plan
from xmap.pipeline.settings.config import XmapConfig
from xmap.stages.config import EncoderConfig
from xmap.stages.encoder import precision
from xmap.stages.encoder.precision import fastest, of_gpu, of_processor, settled
from xmap.stages.names import IMAGES
from xmap.store.artifacts.artifact import Store
from xmap.store.errors import InputError


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ({"sse2", "avx2"}, ("fp32", "the processor has no units for bf16")),
        ({"avx512f", "avx512_bf16"}, ("bf16", "the processor has avx512_bf16")),
        ({"avx512_bf16", "amx_tile", "amx_bf16"}, ("bf16", "the processor has amx_bf16")),
        (set(), ("fp32", "the processor has no units for bf16")),
    ],
)
def test_a_processor_says_what_it_has(flags: set[str], expected: tuple[str, str]) -> None:
    found = of_processor(frozenset(flags))
    assert (found.precision, found.why) == expected


@pytest.mark.parametrize(("capability", "expected"), [(9, "bf16"), (8, "bf16"), (7, "fp16"), (6, "fp32")])
def test_a_gpu_says_what_it_has(capability: int, expected: str) -> None:
    found = of_gpu("a GPU", capability)
    assert found.precision == expected
    assert str(found).startswith(f"--precision auto: {expected}, as a GPU has units for ")


def test_what_is_named_stands_and_nothing_is_said() -> None:
    for named in ("fp32", "fp16", "bf16"):
        config = EncoderConfig(precision=named)
        assert settled(config, "cuda") == (config, ())


def test_a_gpu_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(InputError, match="sees no GPU"):
        fastest("cuda")


@pytest.mark.parametrize("flags", [frozenset({"avx512_bf16"}), frozenset({"avx2"})])
def test_auto_is_the_format_itself_in_all_that_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: frozenset[str]) -> None:
    monkeypatch.setattr(precision, "processor_flags", lambda: flags)
    meant = of_processor(flags).precision
    write_photos(tmp_path / "data")
    given = {"data.data": str(tmp_path / "data"), "encoder.model": "xmap-tiny", "run.device": "cpu", "cache.shots": 1}
    auto, named = (
        make_plan(Store(tmp_path / "store"), XmapConfig().override({**given, "encoder.precision": word, "text.text": "coop"}))
        for word in ("auto", meant)
    )
    assert [step.identity for step in auto.steps] == [step.identity for step in named.steps]
    images = next(step.identity for step in auto.steps if step.stage == IMAGES)
    assert images.fields["encoder"]["precision"] == meant  # type: ignore[index,call-overload]
    assert "--precision auto" not in images.command
    assert images.source["encoder"]["precision"] == meant  # type: ignore[index,call-overload]
    assert set(auto.remarks) - set(named.remarks) == {str(of_processor(flags))}
