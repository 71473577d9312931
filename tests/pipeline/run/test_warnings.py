"""Warnings about an evaluation: from real runs, and where they begin and end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.functional import normalize, one_hot
from typer.testing import CliRunner

from xmap.cli.main import app
from xmap.pipeline.run.warnings import warnings_of
from xmap.store.artifacts.artifact import Artifact, Draft, Store
from xmap.store.artifacts.identity import Identity

CLASSES = 4


def adapter(
    store: Store,
    shots: int,
    support: tuple[int, int] = (90, 100),
    validation: tuple[int, int] = (80, 100),
    seed: int = 1,
    method: str = "xmadapter",
    **sides: tuple[int, int, int],
) -> Artifact:
    """An adapter whose examination says `(correct, samples)`, and of a side `(correct, better, worse)`."""
    identity = Identity("adapter", f"toy-{method}-{shots}shot-seed{seed}", {"seed": seed}, {"validation": "v", "cache": f"{shots}"})
    facts: dict[str, Any] = {name: dict(zip(("correct", "better", "worse"), side, strict=True)) for name, side in sides.items()}
    for name, count in (("support", support), ("validation", validation)):
        facts[name] = dict(zip(("correct", "samples"), count, strict=True))
    with store.build(identity) as held:
        assert isinstance(held, Draft)
        return held.commit({"method": method, "seed": seed, "shots": shots, "examination": facts})


def test_a_side_that_is_clearly_better_alone_is_named(tmp_path: Path) -> None:
    store = Store(tmp_path)
    found = warnings_of(store, [adapter(store, 4, image_only=(92, 2, 14), text_only=(70, 14, 4))])
    assert len(found) == 1
    assert "xmadapter: on validation the fusion gets 80 of 100 samples right, image only (gamma 1) 92" in found[0]


@pytest.mark.parametrize("side", [(81, 2, 3), (80, 0, 0), (84, 0, 4), (70, 12, 2)])
def test_a_side_that_is_not_clearly_better_is_not(tmp_path: Path, side: tuple[int, int, int]) -> None:
    store = Store(tmp_path)
    assert warnings_of(store, [adapter(store, 4, image_only=side, text_only=side)]) == []


def test_seeds_are_taken_together(tmp_path: Path) -> None:
    store = Store(tmp_path)
    each = [adapter(store, 4, seed=seed, text_only=(83, 0, 3)) for seed in (1, 2, 3)]
    assert warnings_of(store, each[:1]) == []
    assert "240 of 300" in warnings_of(store, each)[0]


def test_a_gap_that_grows_with_the_cache_is_named(tmp_path: Path) -> None:
    store = Store(tmp_path)
    adapter(store, 1, (80, 100), (60, 100))
    adapter(store, 2, (80, 100), (75, 100))
    found = warnings_of(store, [adapter(store, 8, (100, 100), (75, 100))])
    assert len(found) == 1, "the next smaller cache is the one to compare with"
    assert "from 2 to 8 shots" in found[0]
    assert "from 5.0 to 25.0 points" in found[0]


def test_other_methods_seeds_and_data_are_no_smaller_cache(tmp_path: Path) -> None:
    store = Store(tmp_path)
    adapter(store, 2, (75, 100), (75, 100), seed=2)
    adapter(store, 2, (75, 100), (75, 100), method="tip-adapter")
    adapter(store, 16, (75, 100), (75, 100))
    assert warnings_of(store, [adapter(store, 8, (100, 100), (75, 100))]) == []


def test_eval_warns_of_a_useless_side(tmp_path: Path, own_store: Path) -> None:
    draw = torch.Generator().manual_seed(2)
    folder = tmp_path / "toy"
    folder.mkdir()
    centres = torch.randn(CLASSES, 16, generator=draw)

    def near(labels: torch.Tensor) -> torch.Tensor:
        return normalize(centres[labels] + 2.0 * torch.randn(len(labels), 16, generator=draw), dim=-1).half()

    labels = torch.arange(CLASSES).repeat_interleave(8)
    torch.save(near(labels).T.contiguous(), folder / "keys_8shots.pt")
    torch.save(one_hot(labels, CLASSES).half(), folder / "values_8shots.pt")
    for split in ("val", "test"):
        labels = torch.arange(CLASSES).repeat(40)
        torch.save(near(labels), folder / f"{split}_f.pt")
        torch.save(labels, folder / f"{split}_l.pt")
    # Texts that know little of the images, and a fusion that is told to trust them alone.
    vague = centres + 1.5 * torch.randn(CLASSES, 16, generator=draw)
    torch.save(normalize(vague, dim=-1).T.half().contiguous(), folder / "text_weights.pt")
    (folder / "classnames.json").write_text('["a", "b", "c", "d"]')
    run = CliRunner()
    assert run.invoke(app, ["import", "tip-adapter", str(folder), "--logit-scale", "1", "--quiet"]).exit_code == 0
    words = ["run", "--features", "toy", "--shots", "8", "--methods", "xmadapter-paper", "--seeds", "1", "--protocol", "paper", "--quiet"]
    options = ["--set", "methods.xmadapter-paper.gamma=0", "--set", "methods.xmadapter-paper.learning_rate=1e-6"]
    options += ["--set", "methods.xmadapter-paper.epochs=1", "--set", "methods.xmadapter-paper.beta_text=1"]
    first = run.invoke(app, [*words, *options])
    assert first.exit_code == 0, first.output
    assert "warning: xmadapter-paper: on validation the fusion" in first.stderr
    again = run.invoke(app, [*words, *options, "--json"])
    assert "warning: xmadapter-paper: on validation the fusion" in again.stderr, "also where nothing is built"


def test_a_method_that_is_no_better_than_the_largest_class_is_named(tmp_path: Path) -> None:
    store = Store(tmp_path)

    def row(method: str, accuracy: float, counts: list[int]) -> dict[str, object]:
        return {"method": method, "accuracy_mean": accuracy, "largest_share": 100.0 * max(counts) / sum(counts), "class_samples": counts}

    uneven = [row("zero-shot", 49.0, [1000, 500, 500]), row("gda", 50.0, [1000, 500, 500]), row("clap", 51.0, [1000, 500, 500])]
    (line,) = warnings_of(store, [], uneven)
    assert line == "'zero-shot', 'gda': right no more often than naming the largest class always, which has 50.0 % of the test images."
    assert warnings_of(store, [], [row("clap", 20.0, [5, 5, 5])]) == []
    assert warnings_of(store, [], [{"method": "clap", "accuracy_mean": 20.0}]) == []
