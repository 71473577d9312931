"""Where one machine is not enough: the adapter on several machines of a Ray cluster, behind one address.

    pip install 'ray[serve]'
    XMAP_ADAPTER=portable/ serve run examples.serve.on_ray:app

Each replica loads the adapter and forms batches of what reaches it. The folder must be on every machine. One image a request, as its body:
curl --data-binary @cat.jpg http://127.0.0.1:8000/
"""

from __future__ import annotations

import os
from typing import Any

from ray import serve
from starlette.requests import Request
from starlette.responses import JSONResponse

import xmap

REPLICAS = int(os.environ.get("XMAP_REPLICAS", "2"))
MOST_BYTES = 32 << 20


@serve.deployment(num_replicas=REPLICAS, max_ongoing_requests=64, ray_actor_options={"num_cpus": 1})
class Answers:
    """An adapter on one machine."""

    def __init__(self, folder: str) -> None:
        self.adapter = xmap.load(folder)

    @serve.batch(max_batch_size=32, batch_wait_timeout_s=0.002)
    async def answer(self, images: list[bytes]) -> list[dict[str, Any]]:
        """Of each image what `xmap predict --json` says."""
        return [prediction.facts() for prediction in self.adapter.predict(images)]

    async def __call__(self, request: Request) -> JSONResponse:
        """One image, or why there is no answer."""
        data = bytearray()
        async for piece in request.stream():
            data += piece
            if len(data) > MOST_BYTES:
                return JSONResponse({"kind": "too-large", "message": f"an image has {MOST_BYTES:,} bytes at most."}, 413)
        facts = await self.answer(bytes(data))
        return JSONResponse({"adapter": self.adapter.artifact.fingerprint, **facts}, 422 if "error" in facts else 200)


app = Answers.bind(os.environ.get("XMAP_ADAPTER", "portable"))  # type: ignore[attr-defined]
