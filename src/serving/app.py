"""The model over HTTP: ratings, health, metrics, and a page to try it on."""

import asyncio
import hmac
import html
import re
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse
from fastapi.telemetry import TelemetryConfig
from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from pydantic import BaseModel, BeforeValidator, Field, ValidationError, create_model
from starlette.exceptions import HTTPException as AnyHTTPException
from starlette.requests import ClientDisconnect

from src.core.params import Section
from src.serving.batching import Batcher, Rating
from src.serving.predictor import NETWORK, Scorer
from src.serving.telemetry import Metrics, Observed

PAGE = Path(__file__).with_name("page.html")
SILENT = TelemetryConfig(tracing=False, metrics=False, logs=False, operation_spans=False, auto_configure=False)
"""FastAPI would hand errors, which can quote a review, to whatever the environment names."""


class Limits(NamedTuple):
    """What a client may ask for.

    body: bytes. reviews: of one request. letters: of one review. seconds: from the head of a request to its answer.
    queue: requests at once; what these hold is the most memory that clients can take.
    """

    body: int = 250_000
    reviews: int = 250
    letters: int = 20_000
    seconds: int = 10
    queue: int = 128


class Reason(BaseModel):
    """Why there is no rating."""

    reason: str


class ModelName(BaseModel):
    """Which model it was: the MD5 of all that it is, and that of its network."""

    version: str
    hash: str


class Answer(BaseModel):
    """A rating for each review, in the order they were given."""

    model: ModelName
    reviews: list[Rating]


class State(BaseModel):
    """That the service is well, and which model it has."""

    status: str
    model: ModelName


EXAMPLES = {
    "one": {"summary": "one review", "value": {"reviews": "Great app, but it crashes"}},
    "list": {"summary": "a list; what cannot be rated is told why", "value": {"reviews": ["Great app", "", None]}},
    "words": {"summary": "the words that mattered", "value": {"reviews": "Love it!", "explain": True}},
}
REFUSALS = {
    401: "the bearer token is missing or wrong",
    408: "the body did not arrive in time",
    413: "the body is too large",
    422: "the body is not what was asked for",
    429: "too many requests at once",
    503: "the answer took too long",
}


def make_app(scorer: Scorer, limits: Limits, token: str | None = None) -> FastAPI:
    """Build the service; with a token, who asks for ratings or metrics must show it."""
    model = ModelName(version=scorer.version, hash=scorer.description.files[NETWORK])
    batcher, metrics = Batcher(scorer), Metrics(scorer.stars, model.model_dump())
    question = make_question(limits)
    taken = 0

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        worker = asyncio.create_task(batcher.work())
        yield
        worker.cancel()

    app = FastAPI(
        title="Review stars",
        summary="From a review to the stars that its text suggests.",
        version=model.version,
        docs_url=None,  # these pages would load scripts from elsewhere
        redoc_url=None,
        lifespan=lifespan,
        telemetry=SILENT,
    )
    app.add_middleware(Observed, metrics=metrics)

    @app.exception_handler(AnyHTTPException)
    async def refuse(_: Request, error: AnyHTTPException) -> Response:
        return JSONResponse({"reason": error.detail}, error.status_code, error.headers)

    @app.post(
        "/predict",
        response_model=Answer,
        responses={status: {"model": Reason, "description": text} for status, text in REFUSALS.items()},
        openapi_extra={"requestBody": describe_body(question), "security": [{}, {"bearer": []}]},
    )
    async def predict(request: Request) -> Response:
        nonlocal taken
        check_token(request, token)
        if taken >= limits.queue:
            raise HTTPException(429, f"{limits.queue} requests are waiting already", {"Retry-After": "1"})
        deadline = asyncio.get_running_loop().time() + limits.seconds
        taken += 1
        try:
            asked = parse(question, await read_body(request, limits.body, deadline))
            async with asyncio.timeout_at(deadline):
                ratings = await batcher.rate(asked.reviews, asked.explain)
        except TimeoutError:
            raise HTTPException(503, f"no answer within {limits.seconds} s", {"Retry-After": "1"}) from None
        finally:
            taken -= 1
        metrics.count(ratings)
        return Response(Answer(model=model, reviews=ratings).model_dump_json(), media_type="application/json")

    @app.get("/healthz")
    async def healthz() -> State:
        """Say that the process answers."""
        return State(status="ok", model=model)

    @app.get("/readyz", responses={503: {"model": Reason, "description": "too many requests at once"}})
    async def readyz() -> State:
        """Say whether more requests are welcome."""
        if taken >= limits.queue:
            raise HTTPException(503, "no more requests can wait")
        return State(status="ready", model=model)

    @app.get("/metrics", response_class=Response, responses={401: {"model": Reason, "description": REFUSALS[401]}})
    async def metrics_text(request: Request) -> Response:
        """Count requests, reviews and seconds, for Prometheus."""
        check_token(request, token)
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_PLAIN_0_0_4)

    page, policy = make_page(scorer, limits)

    @app.get("/", include_in_schema=False)
    async def page_of_the_model() -> Response:
        return HTMLResponse(page, headers={"Content-Security-Policy": policy, "Referrer-Policy": "no-referrer"})

    return app


def make_question(limits: Limits) -> Any:
    """Make the type of what is asked: its limits are those that the service was started with."""
    text = Annotated[str, Field(max_length=limits.letters)]
    texts = Annotated[list[text | None], Field(max_length=limits.reviews)]
    one_too = BeforeValidator(lambda given: [given] if isinstance(given, str) else given, text | texts)
    return create_model("Question", __base__=Section, reviews=(Annotated[texts, one_too], ...), explain=(bool, False))


def describe_body(question: Any) -> dict[str, Any]:
    """Describe for OpenAPI what is asked."""
    one = {"properties": {"reviews": {"minItems": 1, "maxItems": 1}}}
    one_if_explained = {"if": {"properties": {"explain": {"const": True}}, "required": ["explain"]}, "then": one}
    content = {"schema": question.model_json_schema() | one_if_explained, "examples": EXAMPLES}
    return {"required": True, "content": {"application/json": content}}


def parse(question: Any, body: bytes) -> Any:
    """Read what is asked; the reason of a refusal quotes none of it."""
    try:
        asked = question.model_validate_json(body)
    except ValidationError as errors:
        error = errors.errors(include_url=False, include_input=False, include_context=False)[0]
        place = " ".join(str(part) for part in error["loc"] if part in question.model_fields or isinstance(part, int))
        raise HTTPException(422, f"{place}: {error['msg']}" if place else error["msg"]) from None
    if asked.explain and len(asked.reviews) != 1:
        raise HTTPException(422, "explain: one review at a time")
    return asked


async def read_body(request: Request, most: int, deadline: float) -> bytes:
    """Read the body of a request; of one that is too large the rest is let go, so that the client hears the refusal."""
    body, size = bytearray(), 0
    try:
        async with asyncio.timeout_at(deadline):
            async for chunk in request.stream():
                size += len(chunk)
                if size <= most:
                    body += chunk
    except TimeoutError:
        raise HTTPException(408, REFUSALS[408], {"Connection": "close"}) from None
    except ClientDisconnect:
        raise HTTPException(400, "the client went away") from None
    if size > most:
        raise HTTPException(413, f"the body is larger than {most} bytes")
    return bytes(body)


def check_token(request: Request, token: str | None) -> None:
    """Refuse who does not show the token; how long that takes says nothing about it."""
    given = request.headers.get("authorization", "").encode("latin-1")
    if token is not None and not hmac.compare_digest(given, b"Bearer " + token.encode()):
        raise HTTPException(401, REFUSALS[401], {"WWW-Authenticate": "Bearer"})


def make_page(scorer: Scorer, limits: Limits) -> tuple[str, str]:
    """Give the page and its Content-Security-Policy: it runs its own script, and asks its own service."""
    page = PAGE.read_text(encoding="utf-8")
    values = {"column": scorer.description.text_column, **limits._asdict()}
    for name, value in values.items():
        page = page.replace(f"{{{{ {name} }}}}", html.escape(str(value)))
    rules = ["default-src 'none'", "connect-src 'self'", "img-src data:"]
    for tag, rule in (("script", "script-src"), ("style", "style-src")):
        (content,) = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        rules.append(f"{rule} 'sha256-{b64encode(sha256(content.encode()).digest()).decode()}'")
    return page, "; ".join([*rules, "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"])
