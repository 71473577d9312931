"""A Ray cluster of two machines, as far as Ray can tell."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

MACHINE: dict[str, Any] = {"num_cpus": 2, "object_store_memory": 100 * 2**20}


@contextmanager
def two_machines() -> Iterator[Any]:
    """The cluster; this process is connected to it."""
    import ray
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        # Both machines share the processors of this one: threads that wait must not spin there.
        patch.setenv("OMP_WAIT_POLICY", "PASSIVE")
        found = Cluster(initialize_head=True, head_node_args={**MACHINE, "include_dashboard": False})
        try:
            found.add_node(**MACHINE)
            ray.init(address=found.address, log_to_driver=False, logging_level=logging.ERROR)
            yield found
        finally:
            ray.shutdown()
            found.shutdown()
