"""What should make a user doubt an evaluation, read from the manifests of its adapters and pairs: nothing is scored again."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from glob import escape
from typing import Any

from xmap.stages.datasets.dataset import VAL
from xmap.stages.names import ADAPTER
from xmap.store.artifacts.artifact import Artifact, Store
from xmap.store.artifacts.identity import safe_name
from xmap.store.disk.plain import named

# Standard errors beyond which a difference is no longer called luck.
CLEARLY = 2.0
SIDES = {"image_only": "image only (gamma 1)", "text_only": "text only (gamma 0)"}


def warnings_of(store: Store, adapters: Sequence[Artifact], results: Sequence[Mapping[str, Any]] = ()) -> list[str]:
    """Warnings about the results of an evaluation and its adapters, all seeds of a method taken together."""
    groups: dict[str, list[Artifact]] = {}
    for adapter in adapters:
        if "examination" in adapter.summary:
            groups.setdefault(str(adapter.summary["method"]), []).append(adapter)
    return [*_no_better(results), *_of_adapters(store, groups)]


def _no_better(results: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Where methods are right no more often than who names the largest class of the test images always."""
    share = next((float(row["largest_share"]) for row in results if "largest_share" in row), 100.0)
    poor = [str(row["method"]) for row in results if "largest_share" in row and row["accuracy_mean"] <= share]
    if poor and len(set(results[0]["class_samples"])) > 1:
        yield f"{named(poor)}: right no more often than naming the largest class always, which has {share:.1f} % of the test images."


def _of_adapters(store: Store, groups: Mapping[str, Sequence[Artifact]]) -> list[str]:
    return [line for method, found in groups.items() for line in (*_useless_fusion(method, found), *_growing_gap(store, method, found))]


def leaks_of(store: Store, pairs: Artifact, images: Iterable[Artifact]) -> Iterator[str]:
    """For each split of `images` that has some: how many of its images an earlier split has too."""
    nearly = f"nearly, by a cosine of {pairs.summary['threshold']:.5g} or more"
    for split, found in pairs.summary["leaks"].items():
        total = found["exact"] + found["near"]
        if total:
            name, earlier = ("validation", "training") if split == VAL else (split, "training or validation")
            how = [f"{found[kind]:,} {words}" for kind, words in (("exact", "byte for byte"), ("near", nearly)) if found[kind]]
            yield (
                f"{total:,} of {found['images']:,} {name} images {'is' if total == 1 else 'are'} in {earlier} too ({', '.join(how)}): "
                f"what they measure was seen before; `{_listing(store, pairs, images)}` lists them."
            )


def _listing(store: Store, pairs: Artifact, images: Iterable[Artifact]) -> str:
    """The command that shows them: `leaks` is of the newest of each name, which in a store that may only be read are not those of a run."""
    if all(_is_newest(store, found) for found in (pairs, *images)):
        return "xmap sql leaks"
    return f"xmap sql \"from pairs where artifact = '{pairs.stage}/{pairs.path.name}' and split <> other_split\""


def _is_newest(store: Store, artifact: Artifact) -> bool:
    alike = store.matching(artifact.stage, f"{escape(safe_name(artifact.name))}-*")
    return [other.fingerprint for other in alike if other.name == artifact.name][-1:] == [artifact.fingerprint]


def _useless_fusion(method: str, adapters: Sequence[Artifact]) -> Iterator[str]:
    """Where one side alone is clearly better on validation (sign test on the samples that differ)."""
    for name, title in SIDES.items():
        sides = [found.summary["examination"][name] for found in adapters if name in found.summary["examination"]]
        better, worse = (sum(int(side.get(key, 0)) for side in sides) for key in ("better", "worse"))
        if worse - better > CLEARLY * math.sqrt(better + worse):
            counts = _counts(adapters, "validation")
            alone = sum(int(side.get("correct", 0)) for side in sides)
            yield (
                f"{method}: on validation the fusion gets {counts[0]:,} of {counts[1]:,} samples right, {title} {alone:,}; "
                "the other side does harm here."
            )


def _growing_gap(store: Store, method: str, adapters: Sequence[Artifact]) -> Iterator[str]:
    """Where the gap between support and validation accuracy is clearly larger than with the next smaller cache of the store."""
    smaller = _smaller(store, adapters)
    if not smaller:
        return
    before, after = _gap(smaller), _gap(adapters)
    if before is None or after is None:
        return
    if after[0] - before[0] > CLEARLY * math.hypot(after[1], before[1]):
        few, many = smaller[0].summary["shots"], adapters[0].summary["shots"]
        yield (
            f"{method}: from {few} to {many} shots the gap between support and validation accuracy grew from {100 * before[0]:.1f} "
            f"to {100 * after[0]:.1f} points; the larger cache fits its own images more than new ones."
        )


def _smaller(store: Store, adapters: Sequence[Artifact]) -> list[Artifact]:
    """The adapters of the same method, options, seeds and data at the largest smaller number of shots that the store has."""
    found: dict[int, list[Artifact]] = {}
    for adapter in adapters:
        shots = int(adapter.summary["shots"])
        base, _, rest = adapter.name.rpartition(f"-{shots}shot")
        pattern = f"{escape(safe_name(base))}-*shot{escape(rest)}-*"
        twins: Mapping[int, Artifact] = {
            int(other.summary["shots"]): other for other in store.matching(ADAPTER, pattern) if _comparable(other, adapter)
        }
        for count, twin in twins.items():
            if count < shots:
                found.setdefault(count, []).append(twin)
    return found[max(found)] if found else []


def _comparable(other: Artifact, adapter: Artifact) -> bool:
    same = (found.inputs.get("validation") for found in (other, adapter))
    return other.fields == adapter.fields and len(set(same)) == 1 and {"examination", "shots"} <= other.summary.keys()


def _gap(adapters: Sequence[Artifact]) -> tuple[float, float] | None:
    """Support minus validation accuracy, and its standard error."""
    found = [_counts(adapters, part) for part in ("support", "validation")]
    if not all(samples for _, samples in found):
        return None
    shares = [correct / samples for correct, samples in found]
    error = math.sqrt(sum(share * (1 - share) / samples for share, (_, samples) in zip(shares, found, strict=True)))
    return shares[0] - shares[1], error


def _counts(adapters: Sequence[Artifact], part: str) -> tuple[int, int]:
    found: list[Mapping[str, Any]] = [adapter.summary["examination"].get(part, {}) for adapter in adapters]
    return sum(int(one.get("correct", 0)) for one in found), sum(int(one.get("samples", 0)) for one in found)
