"""Metrics and error logs of the service; both hold numbers and code locations, never a text."""

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
    """Prometheus metrics: requests, their duration, predicted ratings, the model version and the process."""

    def __init__(self, stars: Iterable[int], model: dict[str, str]) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        Gauge("review_stars_model_info", "1", list(model), registry=self.registry).labels(**model).set(1)
        self.requests = Counter("review_stars_requests", "requests", ["path", "status"], registry=self.registry)
        self.seconds = Histogram(
            "review_stars_request_seconds",
            "from the start of a request to its response",
            ["path"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self.reviews = Counter("review_stars_reviews", "reviews by predicted stars", ["stars"], registry=self.registry)
        for label in [*stars, "none"]:
            self.reviews.labels(label)

    def count(self, predictions: Sequence[ReviewPrediction]) -> None:
        """Count reviews by their predicted stars."""
        for prediction in predictions:
            self.reviews.labels(prediction.predicted or "none").inc()


class RequestTelemetry:
    """Counts requests and turns an unhandled error into a 500; the log has its traceback without message or values."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start, status = time.perf_counter(), 0

        async def send_and_note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"].append((b"x-content-type-options", b"nosniff"))
            await send(message)

        try:
            await self.app(scope, receive, send_and_note)
        except Exception as error:
            frames = "".join(traceback.format_tb(error.__traceback__))
            logging.getLogger("uvicorn.error").error("%s\n%s", type(error).__name__, frames)
            if status == 0:
                await JSONResponse({"reason": "internal server error"}, 500)(scope, receive, send_and_note)
        finally:
            # The declared path and not the requested one, so that clients cannot create labels.
            path = getattr(scope.get("route"), "path", "other")
            self.metrics.requests.labels(path, status).inc()
            self.metrics.seconds.labels(path).observe(time.perf_counter() - start)
