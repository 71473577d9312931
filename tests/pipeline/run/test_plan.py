"""Plans: which steps there are, in which order, and what is refused before work starts."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import pytest

from tests.worlds.inputs import write_layout, write_photos
from xmap.pipeline.run.execute import run
from xmap.pipeline.run.plan import make_plan
from xmap.pipeline.settings.config import XmapConfig, load_config
from xmap.stages.build_cache.identity import cache_identity
from xmap.stages.imports.tip_adapter import import_tip_adapter
from xmap.stages.names import Parts
from xmap.stages.workplace.progress import Silent
from xmap.store.artifacts.artifact import Store
from xmap.store.errors import ArtifactMissing, InputError

TINY = {"encoder.model": "xmap-tiny", "extract.views": 1, "run.methods": "zero-shot,tip-adapter", "run.seeds": "1,2", "cache.shots": 2}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def imported(store: Store, tmp_path: Path) -> Store:
    import_tip_adapter(store, write_layout(tmp_path / "layout"), "bugs", 100.0, Silent())
    return store


def config(**overrides: object) -> XmapConfig:
    return XmapConfig().override({**TINY, **{name.replace("__", "."): value for name, value in overrides.items()}})


def stages(store: Store, settings: XmapConfig, last: str = "eval") -> Counter[str]:
    return Counter(step.stage for step in make_plan(store, settings, last).steps)


def test_steps_are_in_the_order_they_run(store: Store, tmp_path: Path) -> None:
    settings = config(data__data=str(write_photos(tmp_path / "photos")))
    steps = make_plan(store, settings).steps
    assert [step.stage for step in steps] == [
        "images",
        "texts",
        "cache",
        "cache",
        "adapter",
        "adapter",
        "adapter",
        "adapter",
        "pairs",
        "eval",
    ]
    assert stages(store, settings, "texts") == {"images": 1, "texts": 1}
    assert stages(store, settings, "cache") == {"images": 1, "texts": 1, "cache": 2}
    known = {step.identity.fingerprint for step in steps}
    inputs = {
        name: digest
        for step in steps
        for name, digest in step.identity.inputs.items()
        if name not in ("support", "training", "validation", "test")
    }
    assert set(inputs.values()) <= known


def test_planning_writes_no_artifact(store: Store, tmp_path: Path) -> None:
    make_plan(store, config(data__data=str(write_photos(tmp_path / "photos"))))
    assert store.artifacts() == []


def test_a_fixed_support_is_cached_once_for_all_seeds(imported: Store) -> None:
    found = stages(imported, config(run__features="bugs", run__seeds="1,2,3"))
    assert found == {"images": 1, "texts": 1, "cache": 1, "adapter": 6, "eval": 1}


def test_the_newest_features_of_a_name_are_used(store: Store, tmp_path: Path) -> None:
    with pytest.raises(ArtifactMissing, match="it holds none"):
        make_plan(store, config(run__features="bugs"))
    import_tip_adapter(store, write_layout(tmp_path / "a"), "bugs", 100.0, Silent())
    with pytest.raises(ArtifactMissing, match="it holds bugs"):
        make_plan(store, config(run__features="birds"))


def test_a_missing_shot_count_is_refused_before_work(imported: Store) -> None:
    with pytest.raises(InputError, match=r"hold a support for 1, 2 shots, not for 16"):
        make_plan(imported, config(run__features="bugs", cache__shots=16))


def test_shots_larger_than_a_class_are_refused_before_extraction(store: Store, tmp_path: Path) -> None:
    photos = write_photos(tmp_path / "photos", train=3)
    with pytest.raises(
        InputError,
        match=r"has 3 training images, fewer than 4 shots \(of its 8 images 2 in val and 3 in test\); so have 2 other classes; "
        r"choose --shots 3 or fewer, or --short keep to take what there is, or take them out of the data\.",
    ):
        make_plan(store, config(data__data=str(photos), cache__shots=4))
    assert stages(store, config(data__data=str(photos), cache__shots=4, cache__short="keep"))["cache"] == 2
    assert stages(store, config(data__data=str(photos), cache__shots=4), "texts")["texts"] == 1


@pytest.mark.parametrize(
    ("kept", "message"),
    [
        (
            (1, 1, 1),
            r"'ant' has 1 training image, fewer than 3 shots \(of its 3 images 1 in val and 1 in test\); choose --shots 1, or --short",
        ),
        ((2, 0, 1), r"'ant' has 2 training images, fewer than 3 shots \(of its 3 images 1 in test\); choose --shots 2 or fewer, or"),
        (
            (2, 0, 0),
            r"'ant' has 2 training images, fewer than 3 shots; choose --shots 2 or fewer, or --short keep .* take it out of the data",
        ),
    ],
)
def test_a_short_class_is_told_where_its_images_are(store: Store, tmp_path: Path, kept: tuple[int, ...], message: str) -> None:
    photos = write_photos(tmp_path / "photos")
    for split, count in zip(("train", "val", "test"), kept, strict=True):
        for path in sorted((photos / split / "ant").iterdir())[count:]:
            path.unlink()
    with pytest.raises(InputError, match=message):
        make_plan(store, config(data__data=str(photos), cache__shots=3))


def test_shots_are_counted_by_contents_as_they_are_drawn(store: Store, tmp_path: Path) -> None:
    photos = write_photos(tmp_path / "photos", train=4)
    for number in (2, 3):
        shutil.copy(photos / "train" / "ant" / "0.png", photos / "train" / "ant" / f"{number}.png")
    with pytest.raises(InputError, match=r"class 'ant' has 2 training images, fewer than 3 shots"):
        make_plan(store, config(data__data=str(photos), cache__shots=3))
    assert stages(store, config(data__data=str(photos), cache__shots=2))["cache"] == 2


@pytest.mark.parametrize(
    ("slip", "said"),
    [
        ({"encoder.model": "ViT-B-23"}, "unknown model 'ViT-B-23'; near names: ViT-B-32"),
        ({"encoder.model": "local-dir:gone"}, "there is no model folder"),
        ({"encoder.model": "ViT-B-32", "encoder.pretrained": "gone.safetensors"}, "there is no weight file gone.safetensors"),
        ({"encoder.model": "ViT-B-32", "encoder.pretrained": "opemai"}, "no pretrained tag 'opemai'; near tags: openai"),
    ],
)
def test_a_slip_in_the_models_name_is_told_before_images_are_read(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slip: dict[str, str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    photos = write_photos(tmp_path / "photos")
    for split in ("val", "test"):
        shutil.rmtree(photos / split)
    # Splits are drawn by contents, so that these are asked for while the data set is opened.
    monkeypatch.setattr("xmap.stages.datasets.content.hashing.hash_places", None)
    if "opemai" not in slip.values():
        # Tars and tables of images are read when they are listed.
        monkeypatch.setattr("xmap.stages.datasets.open.open_dataset", None)
    with pytest.raises(InputError, match=said):
        make_plan(store, config(data__data=str(photos / "train")).override(slip))


def test_a_remark_of_every_seed_is_said_once(store: Store, tmp_path: Path) -> None:
    class Told(Silent):
        def __init__(self) -> None:
            self.lines: list[str] = []

        def say(self, line: str) -> None:
            self.lines.append(line)

    photos, told = write_photos(tmp_path / "photos", train=3), Told()
    chosen = config(data__data=str(photos), cache__shots=4, cache__short="keep", run__seeds="1,2,3", extract__views="0")
    run(store, chosen, told, build=("images", "texts", "cache"))
    assert [line for line in told.lines if "fewer than 4" in line] == [
        "3 classes have fewer than 4 training images ('ant' has 3); taken as they are."
    ]


def test_no_images_at_all_is_said(store: Store) -> None:
    with pytest.raises(InputError, match="no images named: give --data"):
        make_plan(store, config())


def test_settings_of_methods_that_do_not_run_are_said(imported: Store) -> None:
    settings = config(run__features="bugs").override({"methods.clap.learning_rate": 0.5, "methods.tip-adapter.alpha": 2.0})
    said = [remark for remark in make_plan(imported, settings).remarks if remark.startswith("settings of")]
    assert said == ["settings of 'clap' are given, which is not among the methods of this run: --methods names them"]
    assert not any("settings of" in remark for remark in make_plan(imported, config(run__features="bugs")).remarks)


def test_commands_say_how_to_make_a_step_again(imported: Store) -> None:
    found = {step.stage: step.identity.command for step in make_plan(imported, config(run__features="bugs")).steps}
    assert found["cache"].startswith("xmap build-cache")
    assert "--features bugs" in found["cache"]
    assert "--shots 2" in found["cache"]
    assert "--methods tip-adapter --seeds 2" in found["adapter"]
    assert "--methods zero-shot,tip-adapter --seeds 1,2" in found["eval"]


@pytest.mark.parametrize("parts", [{}, {"val": "v", "test": "t"}])
def test_features_without_training_images_hold_no_support(parts: dict[str, str]) -> None:
    with pytest.raises(InputError, match="hold no training images"):
        cache_identity(Parts("x", parts), "texts", load_config(None).cache, 1)


def test_shares_of_a_pool_that_is_not_there_are_said(imported: Store) -> None:
    remarks = make_plan(imported, config(run__features="bugs", run__pool_shares="free")).remarks
    assert "--pool-shares is given, and changes nothing without --pool" in remarks
