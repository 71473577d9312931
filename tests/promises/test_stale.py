"""Nothing stale is ever reused: each setting reaches exactly the artifacts whose bytes depend on it."""

from __future__ import annotations

import json
import typing
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.worlds.faults import Case
from tests.worlds.models import MODEL as MODEL_CFG
from tests.worlds.models import PREPROCESS
from xmap.pipeline.run.plan import make_plan
from xmap.pipeline.settings.config import SECTIONS, XmapConfig
from xmap.stages.config import Config
from xmap.stages.methods.registry import METHODS
from xmap.store.artifacts.artifact import Store

IMAGES, TEXTS, COOP, CACHE, PROJECTION = "images", "texts", "coop", "cache", "projection"
ADAPTER, PAIRS, EVAL, JOINED = "adapter", "pairs", "eval", "joined"
LATER = {CACHE, ADAPTER, EVAL}
FEATURES = {IMAGES, PAIRS, *LATER}
ALL = {*FEATURES, TEXTS}
# Settings of CoOp, which reach what there is only where it tunes the texts.
TUNED = {COOP, *LATER}

# Each setting with two or three values of it, and the stages whose artifacts depend on it. Paths are below the world's folder.
SETTINGS: dict[str, tuple[tuple[Any, ...], set[str]]] = {
    "data.data": (("images", "other"), FEATURES),
    "data.root": (("", "somewhere"), set()),
    "data.classes": (("", "names.txt"), ALL),
    "data.templates": ((["a photo of a {}."], ["{}"], ["a photo of a {}.", "{}"]), {TEXTS, *LATER}),
    "data.descriptions": (("", "sentences.json"), {TEXTS, *LATER}),
    "data.labels": (("", "labels.csv"), FEATURES),
    "data.split_seed": ((1, 2, 3), FEATURES),
    "data.val_share": ((0.2, 0.3), FEATURES),
    "data.group_by": (("", r"([0-9])\."), FEATURES),
    "data.test_share": ((0.3, 0.4), FEATURES),
    # None of its images are there twice.
    "data.drop_leaks": ((False, True), set()),
    "data.train_per_class": ((None, 5), FEATURES),
    "encoder.model": (("one", "two"), ALL),
    "encoder.pretrained": (("openai", "laion2b"), set()),
    "encoder.precision": (("fp32", "bf16", "fp16"), ALL),
    "encoder.force_quick_gelu": ((False, True), ALL),
    "encoder.cache_dir": (("", "cache"), set()),
    "extract.views": ((1, 2), FEATURES),
    "extract.view_seed": ((1, 2), FEATURES),
    "extract.batch_size": ((64, 8), FEATURES),
    "extract.shard_batches": ((16, 1), set()),
    "extract.depth": (("auto", 12, 16), FEATURES),
    "extract.max_pixels": ((178_956_970, 1_000_000), FEATURES),
    "text.text": (("prompts", "coop"), {COOP, *LATER}),
    "text.context": ((0, 4), TUNED),
    "text.context_epochs": ((None, 3), TUNED),
    "text.context_rate": ((2e-3, 1e-3), TUNED),
    "text.context_batch": ((32, 8), TUNED),
    "cache.shots": ((1, 2, 4), LATER),
    "cache.short": (("error", "keep"), LATER),
    "cache.index": (("Flat", "HNSW8", "auto"), LATER),
    "cache.recall": ((0.95, 0.5), LATER),
    "cache.index_memory": ((4.0, 1.0), LATER),
    "eval.top_k": (("all", 3), {ADAPTER, EVAL}),
    "eval.neighbors": ((5, 2), {EVAL}),
    "eval.bins": ((15, 10), {EVAL}),
    "eval.sets": ((0.9, 0.8), {EVAL}),
    "pairs.near": (("auto", 0.9, 0.99), {PAIRS}),
    "run.methods": ((["zero-shot"], ["zero-shot", "tip-adapter"]), {ADAPTER, EVAL}),
    "run.seeds": (([1], [2], [1, 2]), LATER),
    "run.protocol": (("few", "paper"), {ADAPTER, EVAL}),
    "run.features": (("",), set()),
    # What these reach is more than their own values, and judged below.
    "run.also_model": (([],), set()),
    "run.also_features": (([],), set()),
    "run.pool": (("",), set()),
    "run.pool_shares": (("estimated",), set()),
    "run.device": (("auto", "cpu"), set()),
    "run.workers": ((2, 0), set()),
    "run.engine": (("local", "ray"), set()),
    "run.gpus_per_worker": ((None,), set()),
}
# CoOp chooses its epoch on validation samples, which the protocol names.
JUDGED_BY_COOP = ("run.protocol",)
# Settings of the key index, with the indexes that heed them; CoOp has no use for one.
HEEDED_BY = {"cache.index": ("Flat", "HNSW8", "auto"), "cache.recall": ("HNSW8", "auto"), "cache.index_memory": ("auto",)}
PLACES = ("data.data", "data.labels", "data.classes", "data.descriptions", "encoder.model", "run.pool")


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Callable[[dict[str, Any]], dict[str, set[str]]]:
    """`planned(settings)`: the fingerprints of a whole plan, by stage. The files are never opened as images or weights."""
    root = tmp_path_factory.mktemp("planned")
    for folder in ("images", "other", "pool", "pool two"):
        for name in ("ant", "bee", "cat"):
            (root / folder / name).mkdir(parents=True)
            for number in range(20):
                (root / folder / name / f"{number}.png").write_text(f"{folder} {name} {number}")
    (root / "names.txt").write_text("ant small ant\nbee honey bee\ncat house cat\n")
    (root / "labels.csv").write_text("sample_id,label\n" + "".join(f"ant/{number}.png,1\n" for number in range(3)))
    for start, bee in (("", "bee"), ("named-", "honey bee")):
        (root / f"{start}sentences.json").write_text(json.dumps({bee: ["It makes honey."]}))
    (root / "shares.csv").write_text("class,share\nant,1\nbee,1\ncat,2\n")
    for name in ("one", "two", "three", "four"):
        (root / name).mkdir()
        (root / name / "open_clip_config.json").write_text(json.dumps({"model_cfg": MODEL_CFG, "preprocess_cfg": PREPROCESS}))
        (root / name / "open_clip_model.safetensors").write_text(f"weights {name}")
    store = Store(root / "store")

    def plan(chosen: dict[str, Any]) -> dict[str, set[str]]:
        given = {name: values[0] for name, (values, _) in SETTINGS.items()} | chosen
        # Classes that are called otherwise are described under these names.
        given["data.descriptions"] = "named-" * bool(given["data.classes"] and given["data.descriptions"]) + given["data.descriptions"]
        given |= {name: str(root / given[name]) for name in PLACES if given[name]}
        given["encoder.model"] = f"local-dir:{given['encoder.model']}"
        given["run.also_model"] = [f"local-dir:{root / name}" for name in given["run.also_model"]]
        given["run.pool_shares"] = given["run.pool_shares"].replace("FOLDER", str(root))
        found: dict[str, set[str]] = {stage: set() for stage in (*ALL, COOP, PROJECTION, JOINED)}
        for step in make_plan(store, XmapConfig().override(given)).steps:
            found[step.stage].add(step.identity.fingerprint)
        return found

    return plan


def changed(before: dict[str, set[str]], after: dict[str, set[str]]) -> set[str]:
    return {stage for stage in before if before[stage] != after[stage]}


def test_every_setting_is_judged_here() -> None:
    assert set(SETTINGS) == {f"{section}.{field}" for section, model in SECTIONS.items() for field in model.model_fields}


def reached(name: str, before: dict[str, Any], value: Any) -> set[str]:
    """The stages that a change of the setting reaches: with CoOp it tunes whatever the support or the prompts are."""
    stages = SETTINGS[name][1]
    if name == "text.text":
        return stages
    if name in HEEDED_BY:
        return stages if before["cache.index"] in HEEDED_BY[name] else set()
    if name == "data.templates" and before[name][0] == value[0]:
        # CoOp starts from the first prompt alone, and its texts take the place of all; what is evaluated is compared with the prompts.
        return stages - {CACHE, ADAPTER} if before["text.text"] == "coop" else stages
    if before["text.text"] == "prompts":
        return set() if stages == TUNED else stages
    if name in JUDGED_BY_COOP:
        # The caches are made of the texts that it tunes.
        return stages | {COOP, CACHE}
    return stages | {COOP} if stages & {CACHE, IMAGES, TEXTS} else stages


any_settings = st.fixed_dictionaries({name: st.sampled_from(values) for name, (values, _) in SETTINGS.items()})
a_change = st.sampled_from([(name, value) for name, (values, _) in SETTINGS.items() for value in values])


@pytest.mark.promise
@pytest.mark.failure("changed setting")
@settings(max_examples=120)
@given(any_settings, a_change)
def test_a_changed_setting_reaches_exactly_what_depends_on_it(planned: Any, before: dict[str, Any], change: tuple[str, Any]) -> None:
    name, value = change
    # CoOp tunes a prompt, and refuses sentences.
    assume(not any(one["text.text"] == "coop" and one["data.descriptions"] for one in (before, {**before, name: value})))
    assert changed(planned(before), planned({**before, name: value})) == (reached(name, before, value) if before[name] != value else set())


def other_value(model: type[Config], field: str) -> Any:
    """Another value that the field takes."""
    default = model()
    literals = [value for part in typing.get_args(model.model_fields[field].annotation) for value in (typing.get_args(part) or (part,))]
    for value in (True, False, 1, 2, 3, 0.25, 0.5, *literals, "1", [1], [0.5]):
        try:
            changed = model.model_validate({field: value})
        except ValidationError:
            continue
        if changed != default:
            return getattr(changed, field)
    raise AssertionError(f"no other value of {field} is known")


@pytest.mark.failure("changed setting")
def test_every_option_of_every_method_reaches_its_adapters_and_no_others(planned: Any, case: Case) -> None:
    for name, entry in METHODS.items():
        alone = {"run.methods": [name]}
        base = planned(alone)
        for field in entry.options.model_fields:
            with case():
                after = planned({**alone, f"methods.{name}.{field}": other_value(entry.options, field)})
                assert changed(base, after) == {ADAPTER, EVAL}, (name, field)
    neighbour = next(name for name in METHODS if name != "tip-adapter")
    both = planned({"run.methods": ["tip-adapter", neighbour]})
    after = planned({"run.methods": ["tip-adapter", neighbour], "methods.tip-adapter.alpha": 7.0})
    assert len(both[ADAPTER] & after[ADAPTER]) == 1


@pytest.mark.failure("changed setting")
def test_further_encoders_and_pools_reach_what_depends_on_them_alone(planned: Any) -> None:
    mine = {"run.methods": ["xmadapter"], "run.device": "cpu"}
    alone, both, others = (planned({**mine, "run.also_model": names}) for names in ([], ["three"], ["four"]))
    assert changed(alone, both) == changed(both, others) == {IMAGES, TEXTS, JOINED, *LATER}
    # Nothing of an encoder is made again for another one.
    assert both[IMAGES] & others[IMAGES] == alone[IMAGES]
    assert both[TEXTS] & others[TEXTS] == alone[TEXTS]
    described = planned({**mine, "run.also_model": ["three"], "data.descriptions": "sentences.json"})
    assert changed(both, described) == {TEXTS, *LATER}
    with_pool, other_pool = (planned({**mine, "run.pool": pool}) for pool in ("pool", "pool two"))
    assert changed(alone, with_pool) == changed(with_pool, other_pool) == {IMAGES, ADAPTER, EVAL}
    assert with_pool[IMAGES] & other_pool[IMAGES] == alone[IMAGES]
    for shares in ("free", "FOLDER/shares.csv"):
        assert changed(with_pool, planned({**mine, "run.pool": "pool", "run.pool_shares": shares})) == {ADAPTER, EVAL}
        assert planned({**mine, "run.pool_shares": shares}) == alone
    assert changed(with_pool, planned({**mine, "run.pool": "pool", "data.descriptions": "sentences.json"})) == {TEXTS, *LATER}


# Changing one of these makes artifacts of every user stale: it must be wanted, and said in the release notes.
GOLDEN = {
    IMAGES: "f5cf0bd81f5aaef0edf737c38bb74e3fa3b67708bd7522d67890ae390b8dba65",
    TEXTS: "bef625289e1e3e2721ac2314ab1bde01f092543300a5d6384b71e559e8d8e87e",
    CACHE: "45a1691e585818fe23024a53cab4de2c869f9195785321c795a2b6a3c39b1077",
    ADAPTER: "c8daef3a01b57e6654e3b3803cc8a42b849a91efa472188b8281b9050d33abb5",
    PAIRS: "d19059b5a060756e0d480d43b43be6b2473b9dd986a0e422a06d6996d6a71981",
    EVAL: "54121ecfb2687a27413115607d35b84a30417ad344584784e36ff64d0b6cc930",
}


@pytest.mark.promise
def test_golden_fingerprints_of_a_whole_plan(planned: Any) -> None:
    assert {stage: "".join(prints) for stage, prints in planned({}).items() if prints} == GOLDEN
