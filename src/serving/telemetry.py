"""What is counted of a service, and what is written of its mistakes: numbers and places, never a text."""

import logging
import time
import traceback
from collections.abc import Iterable, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from src.serving.batching import ReviewPrediction

SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)


class Metrics:
    """Requests by path and status, their seconds, reviews by what was said; with the model's name and the process."""

    def __init__(self, stars: Iterable[int], model: dict[str, str]) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        Gauge("review_stars_model_info", "1", list(model), registry=self.registry).labels(**model).set(1)
        self.requests = Counter(
            "review_stars_requests", "requests answered", ["path", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "review_stars_request_seconds",
            "from the head of a request to its answer",
            ["path"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self.reviews = Counter("review_stars_reviews", "reviews by predicted stars", ["stars"], registry=self.registry)
        for said in [*stars, "none"]:
            self.reviews.labels(said)

    def count(self, ratings: Sequence[ReviewPrediction]) -> None:
        """Count some ratings by their stars."""
        for rating in ratings:
            self.reviews.labels(rating.predicted or "none").inc()


class RequestTelemetry:
    """Counts the requests to an app; a mistake of the app becomes a 500 and a log of where, not of what it met."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start, status = time.perf_counter(), 0

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"].append((b"x-content-type-options", b"nosniff"))
            await send(message)

        try:
            await self.app(scope, receive, sent)
        except Exception as error:
            places = "".join(traceback.format_tb(error.__traceback__))
            logging.getLogger("uvicorn.error").error("%s\n%s", type(error).__name__, places)
            if status == 0:
                await JSONResponse({"reason": "a mistake of the service"}, 500)(scope, receive, sent)
        finally:
            # The path as it was declared: clients cannot invent labels.
            path = getattr(scope.get("route"), "path", "other")
            self.metrics.requests.labels(path, status).inc()
            self.metrics.seconds.labels(path).observe(time.perf_counter() - start)
