"""`xmap enough`: train one method at growing supports, and say what twice the labels would bring.

Every adapter is an artifact of the store as in any run, so a second call finds all of them. The test split stays closed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from xmap.pipeline.engines.registry import workplace_of
from xmap.pipeline.run.execute import execute
from xmap.pipeline.run.features import Features, features_of
from xmap.pipeline.run.plan import Plan, make_plan
from xmap.pipeline.settings.config import XmapConfig
from xmap.stages.names import ADAPTER, IMAGES
from xmap.stages.workplace.progress import Progress
from xmap.store.artifacts.artifact import Store

if TYPE_CHECKING:
    from xmap.stages.enough.study import Study

# The protocol under which some validation samples choose nothing.
SETTINGS = {"cache.short": "keep", "run.protocol": "few"}


def enough(store: Store, config: XmapConfig, method: str, most: int, progress: Progress, rehash: bool = False) -> Study:
    """Train `method` on 1, 2, 4 and so on up to `most` images a class with every seed, and fit the curve.

    Raises `UnknownName`, and `InputError` where there are too few images to train or to measure on.
    """
    from xmap.stages.enough.study import Trained, study
    from xmap.stages.enough.supports import supports_of

    config = config.override({**SETTINGS, "run.methods": (method,)})
    features = features_of(store, config, rehash)
    workplace = workplace_of(store, config.run, progress)
    images = execute(workplace, make_plan(store, config, IMAGES, features=features)).artifacts[features.images.fingerprint]
    plan = _plan(store, config, features, supports_of(images, most))
    built = execute(workplace, plan).artifacts
    adapters = [step.identity for step in plan.steps if step.stage == ADAPTER]
    return study(method, [Trained(built[identity.fingerprint], built[identity.inputs["cache"]]) for identity in adapters])


def _plan(store: Store, config: XmapConfig, features: Features, shots: Sequence[int]) -> Plan:
    """All adapters in one plan, so that an engine elsewhere trains them together. What there is to say of the images has been said."""
    plans = [make_plan(store, config.override({"cache.shots": count}), ADAPTER, features=features) for count in shots]
    steps = {step.identity.fingerprint: step for plan in plans for step in plan.steps}
    trainings = tuple(training for plan in plans for training in plan.trainings)
    remarks = tuple(remark for remark in plans[0].remarks if remark not in features.remarks)
    return replace(plans[-1], steps=tuple(steps.values()), trainings=trainings, remarks=remarks)
