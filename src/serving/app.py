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
from src.serving.batching import Batcher, ReviewPrediction
from src.serving.predictor import NETWORK, Predictor
from src.serving.telemetry import Metrics, RequestTelemetry

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
    characters: int = 20_000
    seconds: int = 10
    queue: int = 128


class ErrorResponse(BaseModel):
    """Why there is no rating."""

    reason: str


class ModelName(BaseModel):
    """Which model it was: the MD5 of all that it is, and that of its network."""

    version: str
    hash: str


class PredictResponse(BaseModel):
    """A rating for each review, in the order they were given."""

    model: ModelName
    reviews: list[ReviewPrediction]


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


class Service:
    """The handlers of all paths, and what they share. At most `limits.queue` predict requests are in progress."""

    def __init__(self, predictor: Predictor, limits: Limits, token: str | None) -> None:
        self.limits, self.token = limits, token
        self.model = ModelName(version=predictor.version, hash=predictor.description.files[NETWORK])
        self.batcher, self.metrics = Batcher(predictor), Metrics(predictor.stars, self.model.model_dump())
        self.request_model = make_request_model(limits)
        self.in_progress = 0
        self._page, self._policy = make_page(predictor, limits)

    async def predict(self, request: Request) -> Response:
        check_token(request, self.token)
        if self.in_progress >= self.limits.queue:
            raise HTTPException(429, f"{self.limits.queue} requests are waiting already", {"Retry-After": "1"})
        deadline = asyncio.get_running_loop().time() + self.limits.seconds
        self.in_progress += 1
        try:
            asked = parse(self.request_model, await read_body(request, self.limits.body, deadline))
            async with asyncio.timeout_at(deadline):
                predictions = await self.batcher.predict(asked.reviews, asked.explain)
        except TimeoutError:
            raise HTTPException(503, f"no answer within {self.limits.seconds} s", {"Retry-After": "1"}) from None
        finally:
            self.in_progress -= 1
        self.metrics.count(predictions)
        response = PredictResponse(model=self.model, reviews=predictions)
        return Response(response.model_dump_json(), media_type="application/json")

    async def healthz(self) -> State:
        """Report that the process answers."""
        return State(status="ok", model=self.model)

    async def readyz(self) -> State:
        """Report whether the service takes more requests."""
        if self.in_progress >= self.limits.queue:
            raise HTTPException(503, "no more requests can wait")
        return State(status="ready", model=self.model)

    async def metrics_text(self, request: Request) -> Response:
        """Count requests, reviews and seconds, for Prometheus."""
        check_token(request, self.token)
        return Response(generate_latest(self.metrics.registry), media_type=CONTENT_TYPE_PLAIN_0_0_4)

    async def page(self) -> Response:
        headers = {"Content-Security-Policy": self._policy, "Referrer-Policy": "no-referrer"}
        return HTMLResponse(self._page, headers=headers)

    @asynccontextmanager
    async def lifespan(self, _: FastAPI) -> AsyncIterator[None]:
        worker = asyncio.create_task(self.batcher.work())
        yield
        worker.cancel()


def make_app(predictor: Predictor, limits: Limits, token: str | None = None) -> FastAPI:
    """Build the service. With a token, requests for predictions or metrics must carry it."""
    service = Service(predictor, limits, token)
    app = FastAPI(
        title="Review stars",
        summary="Predict the star rating of a review from its text.",
        version=service.model.version,
        docs_url=None,  # these pages would load scripts from elsewhere
        redoc_url=None,
        lifespan=service.lifespan,
        telemetry=SILENT,
    )
    app.add_middleware(RequestTelemetry, metrics=service.metrics)
    app.add_exception_handler(AnyHTTPException, refuse)
    refusals: dict[int | str, Any] = {
        status: {"model": ErrorResponse, "description": text} for status, text in REFUSALS.items()
    }
    app.post(
        "/predict",
        response_model=PredictResponse,
        responses=refusals,
        openapi_extra={"requestBody": describe_body(service.request_model), "security": [{}, {"bearer": []}]},
    )(service.predict)
    app.get("/healthz")(service.healthz)
    full = {"model": ErrorResponse, "description": "too many requests at once"}
    app.get("/readyz", responses={503: full})(service.readyz)
    app.get("/metrics", response_class=Response, responses={401: refusals[401]})(service.metrics_text)
    app.get("/", include_in_schema=False)(service.page)
    return app


async def refuse(_: Request, error: Exception) -> Response:
    """Answer every refusal as JSON with a reason."""
    assert isinstance(error, AnyHTTPException)
    return JSONResponse({"reason": error.detail}, error.status_code, error.headers)


def make_request_model(limits: Limits) -> Any:
    """Make the type of what is asked: its limits are those that the service was started with."""
    text = Annotated[str, Field(max_length=limits.characters)]
    texts = Annotated[list[text | None], Field(max_length=limits.reviews)]
    one_too = BeforeValidator(lambda given: [given] if isinstance(given, str) else given, text | texts)
    return create_model(
        "PredictRequest", __base__=Section, reviews=(Annotated[texts, one_too], ...), explain=(bool, False)
    )


def describe_body(request_model: Any) -> dict[str, Any]:
    """Describe for OpenAPI what is asked."""
    one = {"properties": {"reviews": {"minItems": 1, "maxItems": 1}}}
    one_if_explained = {"if": {"properties": {"explain": {"const": True}}, "required": ["explain"]}, "then": one}
    content = {"schema": request_model.model_json_schema() | one_if_explained, "examples": EXAMPLES}
    return {"required": True, "content": {"application/json": content}}


def parse(request_model: Any, body: bytes) -> Any:
    """Read what is asked; the reason of a refusal quotes none of it."""
    try:
        asked = request_model.model_validate_json(body)
    except ValidationError as errors:
        error = errors.errors(include_url=False, include_input=False, include_context=False)[0]
        place = " ".join(
            str(part) for part in error["loc"] if part in request_model.model_fields or isinstance(part, int)
        )
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


def make_page(predictor: Predictor, limits: Limits) -> tuple[str, str]:
    """Give the page and its Content-Security-Policy: it runs its own script, and asks its own service."""
    page = PAGE.read_text(encoding="utf-8")
    values = {"column": predictor.description.text_column, **limits._asdict()}
    for name, value in values.items():
        page = page.replace(f"{{{{ {name} }}}}", html.escape(str(value)))
    rules = ["default-src 'none'", "connect-src 'self'", "img-src data:"]
    for tag, rule in (("script", "script-src"), ("style", "style-src")):
        (content,) = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        rules.append(f"{rule} 'sha256-{b64encode(sha256(content.encode()).digest()).decode()}'")
    return page, "; ".join([*rules, "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"])
