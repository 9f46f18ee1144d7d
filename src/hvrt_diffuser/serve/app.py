"""The routes."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from importlib.metadata import version
from typing import Any

import anyio.to_thread
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.middleware.trustedhost import TrustedHostMiddleware
from torch import Tensor

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.options import name_of, reason_of
from hvrt_diffuser.diffuser import HVRTDiffuser
from hvrt_diffuser.serve.counters import Counters
from hvrt_diffuser.serve.formats import MEDIA_TYPES, WRITERS, Batches, Labelling
from hvrt_diffuser.serve.generation import MAX_NPZ, Answer, GenerateRequest
from hvrt_diffuser.serve.guard import Guard
from hvrt_diffuser.serve.options import ServeOptions
from hvrt_diffuser.serve.page import PAGE, POLICY
from hvrt_diffuser.serve.source import source_archive

__all__ = ["make_app"]

NOTICE = (
    "Draws may be near copies of training images, whatever the sampler: handle them as you would "
    "handle those. The verdict of the run says how near they are."
)
BUSY = "all jobs are taken: ask again in a moment"


def make_app(diffuser: HVRTDiffuser, options: ServeOptions) -> FastAPI:
    """The service of a model, which draws one image first to see that it can.

    Args:
        diffuser: on the device that it draws on.
        options: limits, and the token.
    """
    names = diffuser.class_names
    shape = tuple(diffuser.generate(1, seed=0).shape[1:])
    counters = Counters()
    app = FastAPI(
        title="hvrt-diffuser", version=version("hvrt-diffuser"), docs_url=None, redoc_url=None
    )

    @app.get("/", response_class=HTMLResponse)
    async def page() -> HTMLResponse:
        return HTMLResponse(PAGE, headers={"Content-Security-Policy": POLICY})

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "alive"}

    @app.get("/ready")
    async def ready() -> JSONResponse:
        free = counters.running < options.jobs
        return JSONResponse({"status": "ready" if free else "busy"}, 200 if free else 503)

    @app.get("/metrics")
    async def metrics() -> PlainTextResponse:
        return PlainTextResponse(counters.text(), media_type="text/plain; version=0.0.4")

    @app.get("/source")
    def source() -> Response:
        name = {"Content-Disposition": 'attachment; filename="hvrt-diffuser.tar.gz"'}
        return Response(source_archive(), media_type="application/gzip", headers=name)

    @app.get("/v1/model")
    async def model() -> dict[str, Any]:
        counts = diffuser.counts.tolist()
        return {
            "version": app.version,
            "sampler": diffuser.origin.get("sampler"),
            "image": dict(zip(("channels", "height", "width"), shape, strict=True)),
            "classes": [
                {"class_id": i, "name": name, "training_images": n}
                for i, (name, n) in enumerate(zip(names, counts, strict=True))
            ],
            "limits": {
                "images": options.max_images,
                "npz_images": min(MAX_NPZ, options.max_images),
                "jobs": options.jobs,
                "seconds": options.seconds,
            },
            "notice": NOTICE,
        }

    @app.post("/v1/generate")
    async def generate(wanted: GenerateRequest) -> Response:
        n = wanted.number(options.max_images)
        labels, seed = wanted.classes(n, names), wanted.chosen_seed()
        if counters.running >= options.jobs:
            return JSONResponse({"detail": BUSY}, 503, {"Retry-After": "1"})
        counters.running += 1
        drawn = 0

        def ended(whole: bool) -> None:
            counters.running -= 1
            counters.images += drawn
            counters.unfinished += not whole

        def counted(batches: Batches) -> Iterator[tuple[Tensor, Tensor]]:
            nonlocal drawn
            for batch in batches:
                drawn += len(batch[0])
                yield batch

        try:
            batches = counted(diffuser.stream(n, labels, seed=seed))
            parts = filter(None, WRITERS[wanted.format](batches, Labelling(names, seed, NOTICE)))
            # What fails at once still has a status to say so with.
            first = await anyio.to_thread.run_sync(partial(next, parts))
        except BaseException:
            ended(whole=False)
            raise
        return Answer(
            parts,
            first,
            seconds=options.seconds,
            ended=ended,
            media_type=MEDIA_TYPES[wanted.format],
            headers={
                "X-Seed": str(seed),
                "Content-Disposition": f'attachment; filename="synthetic.{wanted.format}"',
            },
        )

    @app.exception_handler(InputError)
    async def refused(_: Request, error: InputError) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, 422)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        if first["type"] == "json_invalid":
            return JSONResponse({"detail": "the body is no JSON: correct it"}, 400)
        return JSONResponse({"detail": f"{name_of(first['loc'])}: {reason_of(first)}"}, 422)

    if options.token is None:
        # A page of another site whose name was made to point here would be one's own origin.
        hosts = ["localhost", "127.0.0.1", "::1", "[::1]", options.host]
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=hosts, www_redirect=False)
    app.add_middleware(Guard, token=options.token, counters=counters)
    return app
