"""The HTTP service: predictions, health checks, metrics and a page to try the model."""

import asyncio
import hmac
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

from src.core.params import Section
from src.serving.batching import Batcher, ReviewPrediction
from src.serving.bodies import Bodies
from src.serving.deadlines import Deadlines
from src.serving.predictor import NETWORK, Predictor
from src.serving.telemetry import Metrics, RequestTelemetry
from src.serving.uploads import PARAMETERS, UploadLimits, Uploads

PAGE = Path(__file__).with_name("page.html")
SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)", re.DOTALL
)
"""An escape in JSON; the group is half a surrogate pair."""
BODIES = 64
"""Largest bodies that may arrive at once: they bound the memory of all that arrive."""
NO_TELEMETRY = TelemetryConfig(tracing=False, metrics=False, logs=False, operation_spans=False, auto_configure=False)
"""FastAPI would send errors, which can quote a review, to any exporter that the environment configures."""


class Limits(NamedTuple):
    """Limits on the requests of clients.

    body: bytes of a request body. reviews: reviews per request. characters: characters per review. seconds: from the
    start of a request to its response. queue: requests at once whose body is there and that wait for predictions.
    connections: connections at once, half of them from one address. file, file_seconds, rows, files: bytes of a file,
    seconds to receive and read it, its rows, and files at once.
    """

    body: int = 250_000
    reviews: int = 250
    characters: int = 20_000
    seconds: int = 10
    queue: int = 128
    connections: int = 500
    file: int = 20_000_000
    file_seconds: int = 60
    rows: int = 100_000
    files: int = 2


class ErrorResponse(BaseModel):
    """Why the request failed."""

    reason: str


class ModelVersion(BaseModel):
    """The model in use: the MD5 of its description, which covers all its files, and the MD5 of its network."""

    version: str
    hash: str


class PredictResponse(BaseModel):
    """A prediction for each review, in the order of the request."""

    model: ModelVersion
    reviews: list[ReviewPrediction]


class Health(BaseModel):
    """The state of the service and the model in use."""

    status: str
    model: ModelVersion


EXAMPLES = {
    "one": {"summary": "one review", "value": {"reviews": "Great app, but it crashes"}},
    "list": {"summary": "several reviews, two of them without text", "value": {"reviews": ["Great app", "", None]}},
    "words": {"summary": "with the effect of each word", "value": {"reviews": "Love it!", "explain": True}},
}
ERRORS = {
    401: "the bearer token is missing or wrong",
    408: "the body did not arrive in time",
    413: "the body is too large",
    422: "the body is not a valid request",
    429: "too many requests in progress",
    503: "the prediction took too long, or there is no room for a file",
}


LINES = """{"columns":["content","rating"],"column":["content"],"encoding":"utf-8","separator":","}
{"cells":["I love it","5"]}
{"cells":["It crashes"],"problem":"wrong number of fields"}
{"rows":2,"repaired":{}}
"""
ROWS = {
    "description": "The columns, each row, and at the end the number of rows, or a reason if the rest cannot be read.",
    "content": {"application/jsonl": {"schema": {"type": "string"}, "example": LINES}},
}
UPLOAD: dict[str, Any] = {
    "parameters": PARAMETERS,
    "requestBody": {"required": True, "content": {"application/octet-stream": {"schema": {"type": "string"}}}},
    "security": [{}, {"bearer": []}],
}


class Service:
    """The handlers of all paths and the state they share. At most `limits.queue` predict requests are in progress."""

    def __init__(self, predictor: Predictor, limits: Limits, token: str | None = None) -> None:
        """If there is a token, requests for predictions, tables and metrics must carry it."""
        self.limits, self.token = limits, token
        self.model = ModelVersion(version=predictor.version, hash=predictor.description.files[NETWORK])
        self.batcher, self.metrics = Batcher(predictor), Metrics(predictor.stars, self.model.model_dump())
        self.request_model = make_request_model(limits)
        self.in_progress = 0
        self.deadlines = Deadlines()
        self.bodies = Bodies(BODIES * limits.body, self.deadlines)
        file_limits = UploadLimits(limits.file, limits.file_seconds, limits.rows, limits.files)
        self.uploads = Uploads(file_limits, predictor.description.text_columns, self.deadlines)
        self._page, self._policy = make_page(limits)

    async def predict(self, request: Request) -> Response:
        """Predict the star rating of each review."""
        check_token(request, self.token)
        deadline = asyncio.get_running_loop().time() + self.limits.seconds
        query = parse_request(self.request_model, await self.bodies.read(request, self.limits.body, deadline))
        if self.in_progress >= self.limits.queue:
            raise HTTPException(429, f"{self.limits.queue} requests are in progress; try again", {"Retry-After": "1"})
        texts = [self._shorter(text) for text in query.reviews]
        self.in_progress += 1
        try:
            async with self.deadlines.until(deadline):
                predictions = await self.batcher.predict(texts, query.explain, request.client)
        except TimeoutError:
            raise HTTPException(503, f"no prediction within {self.limits.seconds} s", {"Retry-After": "1"}) from None
        finally:
            self.in_progress -= 1
        for text, prediction in zip(query.reviews, predictions, strict=True):
            if text != self._shorter(text):
                prediction.reason = f"longer than {self.limits.characters} characters"
        self.metrics.count(predictions)
        response = PredictResponse(model=self.model, reviews=predictions)
        return Response(response.model_dump_json(), media_type="application/json")

    def _shorter(self, text: str | None) -> str | None:
        return text if text is None or len(text) <= self.limits.characters else None

    async def rows(self, request: Request) -> Response:
        """Read a file with a table, in any format that the project reads, and send its rows as JSON lines."""
        check_token(request, self.token)
        return self.uploads.response(request)

    async def healthz(self) -> Health:
        """Report that the process responds."""
        return Health(status="ok", model=self.model)

    async def readyz(self) -> Health:
        """Report whether the service accepts another predict request."""
        if self.in_progress >= self.limits.queue:
            raise HTTPException(503, ERRORS[429])
        return Health(status="ready", model=self.model)

    async def metrics_text(self, request: Request) -> Response:
        """Return the counts of requests and reviews and the response times, for Prometheus."""
        check_token(request, self.token)
        return Response(generate_latest(self.metrics.registry), media_type=CONTENT_TYPE_PLAIN_0_0_4)

    async def page(self) -> Response:
        headers = {"Content-Security-Policy": self._policy, "Referrer-Policy": "no-referrer"}
        return HTMLResponse(self._page, headers=headers)

    @asynccontextmanager
    async def lifespan(self, _: FastAPI) -> AsyncIterator[None]:
        worker = asyncio.create_task(self.batcher.run())
        yield
        worker.cancel()


def make_app(service: Service) -> FastAPI:
    """Build the application that answers with the handlers of a service."""
    app = FastAPI(
        title="Review stars",
        summary="Predict the star rating of a review from its text.",
        version=service.model.version,
        docs_url=None,  # FastAPI's pages load scripts from a CDN
        redoc_url=None,
        redirect_slashes=False,  # a redirect would lead to whatever host the client names
        lifespan=service.lifespan,
        telemetry=NO_TELEMETRY,
    )
    app.add_middleware(RequestTelemetry, metrics=service.metrics)
    app.add_exception_handler(AnyHTTPException, error_response)
    errors: dict[int | str, Any] = {
        status: {"model": ErrorResponse, "description": reason} for status, reason in ERRORS.items()
    }
    app.post(
        "/predict",
        response_model=PredictResponse,
        responses=errors,
        openapi_extra={"requestBody": describe_body(service.request_model), "security": [{}, {"bearer": []}]},
    )(service.predict)
    app.post("/rows", response_class=Response, responses=errors | {200: ROWS}, openapi_extra=UPLOAD)(service.rows)
    app.get("/healthz")(service.healthz)
    app.get("/readyz", responses={503: errors[429]})(service.readyz)
    app.get("/metrics", response_class=Response, responses={401: errors[401]})(service.metrics_text)
    app.get("/", include_in_schema=False)(service.page)
    for path, handler in {"/": service.page, "/healthz": service.healthz, "/readyz": service.readyz}.items():
        app.head(path, include_in_schema=False)(handler)
    app.head("/metrics", include_in_schema=False, response_class=Response)(service.metrics_text)
    return app


async def error_response(_: Request, error: Exception) -> Response:
    """Return any HTTP error as JSON with a reason."""
    assert isinstance(error, AnyHTTPException)
    return JSONResponse({"reason": error.detail}, error.status_code, error.headers)


def make_request_model(limits: Limits) -> Any:
    """Make the schema of a predict request from the limits that the service was started with."""
    texts = Annotated[list[str | None], Field(max_length=limits.reviews)]
    text_as_list = BeforeValidator(lambda value: [value] if isinstance(value, str) else value, str | texts)
    return create_model(
        "PredictRequest", __base__=Section, reviews=(Annotated[texts, text_as_list], ...), explain=(bool, False)
    )


def describe_body(request_model: Any) -> dict[str, Any]:
    """Describe the body of a predict request for OpenAPI."""
    one_review = {"properties": {"reviews": {"minItems": 1, "maxItems": 1}}}
    explained = {"properties": {"explain": {"const": True}}, "required": ["explain"]}
    schema = request_model.model_json_schema() | {"if": explained, "then": one_review}
    return {"required": True, "content": {"application/json": {"schema": schema, "examples": EXAMPLES}}}


def parse_request(request_model: Any, body: bytes) -> Any:
    """Parse the body of a predict request; the reason of an error never quotes it.

    Half a surrogate, which is no text, becomes a question mark, as in tables.
    """
    try:
        query = request_model.model_validate_json(
            ESCAPE.sub(lambda escape: b"?" if escape[1] else escape[0], body) if SURROGATE.search(body) else body
        )
    except ValidationError as errors:
        error = errors.errors(include_url=False, include_input=False, include_context=False)[0]
        place = " ".join(
            str(part) for part in error["loc"] if part in request_model.model_fields or isinstance(part, int)
        )
        raise HTTPException(422, f"{place}: {error['msg']}" if place else error["msg"]) from None
    if query.explain and len(query.reviews) != 1:
        raise HTTPException(422, "explain: send one review at a time")
    return query


def check_token(request: Request, token: str | None) -> None:
    """Reject a request without the token; the comparison takes the same time for every wrong token."""
    scheme, _, sent = request.headers.get("authorization", "").encode("latin-1").partition(b" ")
    if token is not None and not (hmac.compare_digest(sent, token.encode()) and scheme.lower() == b"bearer"):
        raise HTTPException(401, ERRORS[401], {"WWW-Authenticate": "Bearer"})


def make_page(limits: Limits) -> tuple[str, str]:
    """Return the page and its Content-Security-Policy: only its own script runs and only this service is called."""
    page = PAGE.read_text(encoding="utf-8")
    for name, value in limits._asdict().items():
        page = page.replace(f"{{{{ {name} }}}}", str(value))
    rules = ["default-src 'none'", "connect-src 'self'", "img-src data:"]
    for tag, rule in (("script", "script-src"), ("style", "style-src")):
        (content,) = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        rules.append(f"{rule} 'sha256-{b64encode(sha256(content.encode()).digest()).decode()}'")
    return page, "; ".join([*rules, "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"])
