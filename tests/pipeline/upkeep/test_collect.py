"""What goes is what nothing refers to, and never what something kept was made from: a law over stores of any shape."""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.worlds.faults import KILL, Points, in_child
from xmap.pipeline.upkeep.collect import LEFTOVER, MEANS, NAMED, UNFINISHED, UNREFERENCED, remove, unfinished, waste
from xmap.store.artifacts.artifact import Artifact, Draft, Store
from xmap.store.artifacts.identity import Identity
from xmap.store.artifacts.locks import at_work
from xmap.store.artifacts.manifest import MANIFEST
from xmap.store.disk.files import write_bytes
from xmap.store.errors import ArtifactMissing, InputError, StoreBusy, StoreDenied

RESULT = "eval"


def made(root: Path, stage: str, name: str, inputs: Mapping[str, str] | None = None, parts: Mapping[str, str] | None = None) -> Artifact:
    with Store(root).build(Identity(stage, name, {"name": name}, inputs or {})) as draft:
        assert isinstance(draft, Draft)
        write_bytes(draft.path / "data", name.encode())
        return draft.commit({"parts": dict(parts)} if parts else None)


def chain(root: Path, name: str = "a") -> dict[str, Artifact]:
    """One artifact of each stage, each made from the one before; the features by their parts."""
    images = made(root, "images", name, parts={"train": f"train {name}", "test": f"test {name}"})
    cache = made(root, "cache", name, {"support": f"train {name}"})
    adapter = made(root, "adapter", name, {"cache": cache.fingerprint})
    result = made(root, RESULT, name, {"adapter": adapter.fingerprint, "test": f"test {name}"})
    return {"images": images, "cache": cache, "adapter": adapter, RESULT: result}


def names(root: Path) -> set[tuple[str, str]]:
    return {(artifact.stage, artifact.name) for artifact in Store(root).artifacts()}


def test_an_evaluation_keeps_all_it_was_made_from(tmp_path: Path) -> None:
    chain(tmp_path)
    lonely = [made(tmp_path, stage, "lonely") for stage in ("images", "texts", "cache", "adapter")]
    assert [found.artifact for found in waste(Store(tmp_path))] == lonely[::-1]
    assert {found.why for found in remove(Store(tmp_path))} == {UNREFERENCED}
    assert names(tmp_path) == {(stage, "a") for stage in ("images", "cache", "adapter", RESULT)}


def test_what_the_settings_use_stays_with_what_it_was_made_from(tmp_path: Path) -> None:
    found = chain(tmp_path)
    Store(tmp_path).remove(found[RESULT])
    cache = found["cache"]
    used = [Identity(cache.stage, cache.name, dict(cache.fields), cache.inputs)]
    assert [item.path for item in waste(Store(tmp_path), used)] == [found["adapter"].path]


def test_a_named_evaluation_goes_with_what_only_it_needed(tmp_path: Path) -> None:
    chain(tmp_path)
    shared = Store(tmp_path).artifacts("cache")[0]
    other = made(tmp_path, "adapter", "other", {"cache": shared.fingerprint})
    newer = made(tmp_path, RESULT, "other", {"adapter": other.fingerprint})
    gone = remove(Store(tmp_path), named=[newer.fingerprint[:10]])
    assert [(item.artifact, item.why) for item in gone] == [(newer, NAMED), (other, UNREFERENCED)]
    assert remove(Store(tmp_path), named=[Store(tmp_path).artifacts(RESULT)[0].path.name])[0].why == NAMED
    assert names(tmp_path) == set()


def test_what_is_in_use_cannot_be_named(tmp_path: Path) -> None:
    found = chain(tmp_path)
    with pytest.raises(InputError, match=f"is in use: {found[RESULT].path.name} was made from it"):
        waste(Store(tmp_path), named=[found["adapter"].fingerprint])
    with pytest.raises(ArtifactMissing, match="nothing"):
        waste(Store(tmp_path), named=["nothing"])
    with pytest.raises(InputError, match="'a' fits "):
        waste(Store(tmp_path), named=["a"])


def test_of_several_features_with_the_same_part_the_newest_is_kept(tmp_path: Path) -> None:
    old = made(tmp_path, "images", "old", parts={"train": "same", "test": "one"})
    new = made(tmp_path, "images", "new", parts={"train": "same", "test": "other"})
    result = made(tmp_path, RESULT, "r", {"support": "same"})
    assert [item.artifact for item in waste(Store(tmp_path))] == [old]
    assert Store(tmp_path).artifacts(RESULT) == [result]
    assert new in Store(tmp_path).artifacts("images")


@pytest.mark.parametrize("damage", ["sealed", "cut", "newer"])
def test_what_a_damaged_manifest_names_is_kept(tmp_path: Path, damage: str) -> None:
    found = chain(tmp_path)
    path = found[RESULT].path / MANIFEST
    text = path.read_text()
    path.write_text({"sealed": text.replace('"name"', '"nam"'), "cut": text[:-20], "newer": text.replace(": 1,", ": 2,", 1)}[damage])
    kept = {found["adapter"].path, found["cache"].path, found["images"].path}
    assert not kept & {item.path for item in remove(Store(tmp_path))}
    assert path.exists()


def test_unfinished_builds_go_unless_the_settings_would_go_on_from_them(tmp_path: Path) -> None:
    identities = [Identity("images", name, {"name": name}) for name in ("one", "two")]
    for identity in identities:
        with Store(tmp_path).build(identity) as draft:
            assert isinstance(draft, Draft)
            write_bytes(draft.path / "train-00000.parquet", b"shard")
    (tmp_path / "images" / "holidays-12345678").mkdir()
    (tmp_path / "encoders").mkdir()
    (tmp_path / "encoders" / ".record.json.7.partial").write_bytes(b"half")
    assert [path.name for path in unfinished(Store(tmp_path))] == [identity.folder for identity in identities]
    gone = remove(Store(tmp_path), identities[:1])
    assert [(item.path.name, item.bytes, item.why) for item in gone] == [
        (identities[1].folder, 5, UNFINISHED),
        (".record.json.7.partial", 4, LEFTOVER),
    ]
    left = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.glob("*/*") if path.parent.name != "locks")
    assert left == ["images/holidays-12345678", f"images/{identities[0].folder}"]


def test_what_is_reached_by_a_link_is_never_removed(tmp_path: Path) -> None:
    artifact = made(tmp_path / "elsewhere", "images", "linked")
    (tmp_path / "store" / "images").mkdir(parents=True)
    (tmp_path / "store" / "images" / artifact.path.name).symlink_to(artifact.path)
    assert remove(Store(tmp_path / "store")) == []
    assert artifact.verify() == []


def test_nothing_is_removed_while_another_works(tmp_path: Path) -> None:
    lonely = made(tmp_path, "cache", "lonely")
    with at_work(tmp_path), pytest.raises(StoreBusy):
        remove(Store(tmp_path))
    assert lonely.path.exists()


def test_an_absent_store_has_no_waste(tmp_path: Path) -> None:
    assert waste(Store(tmp_path / "absent")) == []
    assert not (tmp_path / "absent").exists()


Shape = list[tuple[str, list[int]]]
shapes = st.integers(1, 7).flatmap(
    lambda count: st.tuples(
        *(
            st.tuples(st.sampled_from((*MEANS, RESULT)), st.lists(st.integers(0, max(0, number - 1)), max_size=2 if number else 0))
            for number in range(count)
        )
    )
)


@settings(max_examples=25)
@given(shapes)
def test_what_goes_is_exactly_what_no_result_reaches(shape: Shape) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root, artifacts = Path(folder), list[Artifact]()
        for number, (stage, inputs) in enumerate(shape):
            artifacts.append(made(root, stage, str(number), {str(other): artifacts[other].fingerprint for other in inputs}))
        reached: set[int] = set()

        def visit(number: int) -> None:
            reached.add(number)
            for other in shape[number][1]:
                visit(other)

        for number, (stage, _) in enumerate(shape):
            if stage == RESULT:
                visit(number)
        # Pairs stay beside all the images that they are of.
        asked = {other for number in reached for other in shape[number][1]}
        reached |= {number for number, (stage, inputs) in enumerate(shape) if stage == "pairs" and inputs and asked.issuperset(inputs)}
        gone = {item.path for item in remove(Store(root))}
        assert gone == {artifacts[number].path for number in range(len(shape)) if number not in reached}
        there = {artifact.fingerprint for artifact in Store(root).artifacts()}
        assert all(digest in there for artifact in Store(root).artifacts() for digest in artifact.inputs.values())
        assert waste(Store(root)) == []


@pytest.mark.failure("killed")
def test_killed_at_every_removal_the_rest_is_whole_and_the_next_call_ends_it(tmp_path: Path) -> None:
    for point in range(60):
        root = tmp_path / str(point)
        found = chain(root)

        def work(root: Path = root, point: int = point, name: str = found[RESULT].fingerprint) -> None:
            Points(point, KILL).install()
            remove(Store(root), named=[name])

        code = in_child(work)
        survey = Store(root).survey()
        assert survey.damaged == {}
        assert all(artifact.verify() == [] for artifact in survey.artifacts)
        there = {artifact.fingerprint for artifact in survey.artifacts}
        assert all(found["cache"].fingerprint in there for artifact in survey.artifacts if artifact.stage == "adapter")
        if code == 0:
            break
        assert code == -signal.SIGKILL
        remove(Store(root), named=[artifact.fingerprint for artifact in Store(root).artifacts(RESULT)])
        assert names(root) == set()
        assert list(unfinished(Store(root))) == []
    assert point > 8


def test_without_permission_it_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(tmp_path, "cache", "lonely")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("shutil.rmtree", refuse)
    with pytest.raises(StoreDenied, match="no permission to write"):
        remove(Store(tmp_path))
