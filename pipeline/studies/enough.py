"""`xmap enough`: train one method at growing supports, and say what twice the labels would bring.

Every adapter is an artifact of the store as in any run, so a second call finds all of them. The test split stays closed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from xmap.pipeline.engines.registry import workplace_of
from xmap.pipeline.run.execute import execute
from xmap.pipeline.run.features import Features, features_of
from xmap.pipeline.run.plan import Plan, make_plan
from xmap.pipeline.settings.config import XmapConfig
from xmap.stages.methods.registry import method_entry
from xmap.stages.names import ADAPTER
from xmap.stages.workplace.progress import Progress
from xmap.store.artifacts.artifact import Store
from xmap.store.errors import InputError

if TYPE_CHECKING:
    from xmap.stages.enough.study import Study, Trained

# Under which some validation samples choose nothing.
PROTOCOL = "few"


def enough(store: Store, config: XmapConfig, method: str, most: int, progress: Progress, rehash: bool = False) -> Study:
    """Train `method` on 1, 2, 4 and so on up to `most` images a class with every seed, and fit the curve.

    Raises `UnknownName`, and `InputError` where there are too few images to train or to measure on, or the method
    takes no labels.
    """
    from xmap.stages.enough.study import study

    return study(method, adapters_of(store, config, method, most, progress, rehash))


def adapters_of(store: Store, config: XmapConfig, method: str, most: int, progress: Progress, rehash: bool = False) -> list[Trained]:
    """The adapters of `method` at all supports and seeds, found or trained. Raises as `enough` does."""
    from xmap.stages.enough.study import Trained
    from xmap.stages.enough.supports import supports_of

    if not method_entry(method).learns and config.text.text != "coop":
        raise InputError(f"{method} takes no labels, so that more of them change nothing; name another --method.")
    config = config.override({"run.protocol": PROTOCOL, "run.methods": (method,)})
    features = features_of(store, config, rehash)
    workplace = workplace_of(store, config.run, progress)
    images = execute(workplace, make_plan(store, config, features.images.stage, features=features)).artifacts[features.images.fingerprint]
    plan = _plan(store, config, features, supports_of(images, most))
    built = execute(workplace, plan).artifacts
    adapters = [step.identity for step in plan.steps if step.stage == ADAPTER]
    return [Trained(built[identity.fingerprint], built[identity.inputs["cache"]]) for identity in adapters]


def _plan(store: Store, config: XmapConfig, features: Features, shots: Mapping[int, bool]) -> Plan:
    """All adapters in one plan, so that an engine elsewhere trains them together. What there is to say of the images has been said.

    Where each class has as many images as shots, they are those of a run.
    """
    settings = [{"cache.shots": count} | ({} if whole else {"cache.short": "keep"}) for count, whole in shots.items()]
    plans = [make_plan(store, config.override(changes), ADAPTER, features=features) for changes in settings]
    steps = {step.identity.fingerprint: step for plan in plans for step in plan.steps}
    trainings = tuple(training for plan in plans for training in plan.trainings)
    remarks = tuple(remark for remark in plans[0].remarks if remark not in features.remarks)
    return replace(plans[-1], steps=tuple(steps.values()), trainings=trainings, remarks=remarks)
