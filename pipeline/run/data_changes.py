"""What changed in a data set since its newest extraction, and how many images that leaves to encode: said before the work begins."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from xmap.pipeline.engines.registry import engine_of
from xmap.pipeline.run.image_changes import ImageChanges, Listing, image_changes, listing_of, stored_listing
from xmap.pipeline.run.source import DATA
from xmap.stages.names import IMAGES
from xmap.store.artifacts.artifact import Artifact, Store
from xmap.store.artifacts.identity import Identity

if TYPE_CHECKING:
    from xmap.pipeline.settings.config import RunConfig
    from xmap.stages.extract.identity import ExtractSpec


@dataclass(frozen=True)
class AtHand:
    """The images of a data set as they are now: their listing, and how many a store lacks features of (None: it cannot be told here)."""

    listing: Callable[[], Listing | None]
    lacking: Callable[[], int | None]

    @classmethod
    def of(cls, store: Store, spec: ExtractSpec, config: RunConfig) -> AtHand:
        """Those of an extraction that is to be."""

        def lacking() -> int | None:
            # Elsewhere, machines of another kind may encode.
            if engine_of(config).away:
                return None
            from xmap.stages.extract.wanted import lacked
            from xmap.stages.machine.kind import likely_made_by

            return lacked(store, spec, likely_made_by(config.device))

        return cls(lambda: listing_of(spec), lacking)


@dataclass(frozen=True)
class DataChanges:
    """What changed since the extraction `since` (None: there was none): `images`, where that can be told, and how many are `to_encode`."""

    dataset: str
    since: Artifact | None
    images: ImageChanges | None
    to_encode: int | None

    def __str__(self) -> str:
        if not (self.images or self.to_encode):
            said = "nothing changed"
        else:
            left = [] if self.to_encode is None else [f"{self.to_encode:,} to encode" if self.to_encode else "nothing to encode"]
            said = (": " if self.since else ", ").join([*([] if self.images is None else [str(self.images)]), *left])
        return f"{'since the last' if self.since else 'first'} extraction of {self.dataset}: {said}"

    def facts(self) -> dict[str, Any]:
        """The same for programs: counts by kind."""
        kinds = {kind.replace(" ", "_"): len(ids) for kind, ids in self.images.kinds()} if self.images is not None else {}
        since = self.since and f"{self.since.path.parent.name}/{self.since.path.name}"
        return {"since": since, **kinds, "to_encode": self.to_encode, "said": str(self)}


def data_changes(store: Store, identity: Identity, dataset: str, at_hand: AtHand | None) -> DataChanges | None:
    """What changed since the newest extraction of `dataset`, whose image features are to be those of `identity`.

    None where no images are at hand, or nothing can be told.
    """
    if at_hand is None:
        return None
    newest = _newest(store, dataset, identity.source.get(DATA))
    # What is taken over from version 1 is told when it is.
    unknown = newest is not None and "features" not in newest.summary
    to_encode = 0 if store.find(identity) else None if unknown else at_hand.lacking()
    if newest and newest.fingerprint == identity.fingerprint:
        images: ImageChanges | None = ImageChanges()
    else:
        before = stored_listing(newest) if newest else {}
        now = None if before is None else at_hand.listing()
        images = None if before is None or now is None else image_changes(before, now)
    return None if images is None and to_encode is None else DataChanges(dataset, newest, images, to_encode)


def _newest(store: Store, dataset: str, data: object) -> Artifact | None:
    """The newest extraction from the same place, else of the same name."""
    named = [found for found in store.artifacts(IMAGES) if found.summary.get("dataset") == dataset and "imported" not in found.summary]
    return next((found for found in reversed(named) if _place(found.manifest.get("source")) == _place({DATA: data})), None) or next(
        reversed(named), None
    )


def _place(source: Any) -> object:
    data = source.get(DATA) if isinstance(source, dict) else None
    return data.get("data") if isinstance(data, dict) else None
