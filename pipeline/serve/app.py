"""The addresses of the server. Only this module imports FastAPI."""

from __future__ import annotations

import time

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from xmap.pipeline.serve.descriptions import ABOUT, Answers, Health, Served, body_of_predict, failures
from xmap.pipeline.serve.gate import HEALTH, Application, Gate
from xmap.pipeline.serve.questions import kind_of, question_of
from xmap.pipeline.serve.refusals import Refused
from xmap.pipeline.serve.service import Service

# What the framework itself refuses.
ROUTED = {
    404: ("not-found", "there is nothing here; see /openapi.json."),
    405: ("wrong-method", "this address takes another method: POST for /predict, GET for the others."),
}
ANYWHERE = ("unauthorized", "wrong-host", "failed")


def make_app(service: Service) -> Application:
    """The ASGI application of a service."""
    app = FastAPI(title="xmap serve", description=ABOUT, version="1", docs_url=None, redoc_url=None, redirect_slashes=False)
    _add_refusals(app)
    _add_predict(app, service)

    @app.get("/adapter", response_model=Served, responses=failures(*ANYWHERE), summary="Which adapter answers")
    async def adapter() -> Response:
        return JSONResponse(service.loaded.facts)

    @app.get(HEALTH, response_model=Health, responses=failures("failed"), summary="Whether the server answers")
    async def health() -> Response:
        """It does from its first answer here on: it listens when the adapter is loaded. No token is asked for."""
        if not service.batcher.is_alive():
            raise Refused("failed", "no images are answered any more; start the server again.")
        return JSONResponse({"status": "ready"})

    @app.get("/metrics", response_class=Response, responses=failures(*ANYWHERE), summary="Counters in Prometheus's form")
    async def metrics() -> Response:
        return Response(service.metrics.text(), media_type=service.metrics.content_type)

    return Gate(app, service.setup.token, service.metrics)


def _add_predict(app: FastAPI, service: Service) -> None:
    setup = service.setup

    @app.post("/predict", response_model=Answers, responses=failures(), openapi_extra=body_of_predict(), summary="Classify images")
    async def predict(request: Request) -> Response:
        """One answer an image, in the order of the request. An image that cannot be read has an `error` beside the answers of the others;
        where none can be read, the request is refused. The header `Server-Timing` tells the milliseconds in the server, and those of the
        forward passes among them."""
        started = time.perf_counter()
        kind_of(request.headers)
        async with service.intake.body(request.receive, request.headers.get("content-length")) as body:
            question = question_of(body, request.headers, setup.limits, setup.allowed)
            answered, forward = await service.answer(question)
        total = time.perf_counter() - started
        timing = f"forward;dur={1000 * forward:.3f}, total;dur={1000 * total:.3f}"
        return JSONResponse(answered, headers={"server-timing": timing})


def _add_refusals(app: FastAPI) -> None:
    """Every refusal in one form, whoever refuses."""

    def said(refused: Refused) -> Response:
        return JSONResponse(refused.body, refused.status, refused.headers)

    async def own(_: Request, error: Exception) -> Response:
        return said(error if isinstance(error, Refused) else Refused("failed", "the server failed; its log says why."))

    async def routed(_: Request, error: Exception) -> Response:
        refused = Refused(*ROUTED[getattr(error, "status_code", 404)])
        return JSONResponse(refused.body, refused.status, getattr(error, "headers", None))

    for status in ROUTED:
        app.add_exception_handler(status, routed)
    app.add_exception_handler(Refused, own)
    app.add_exception_handler(Exception, own)
