"""The handler that TorchServe calls: raw texts in, the same predictions as from the service out."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from src.serving.batching import predict_reviews
from src.serving.predictor import EXPORTED_MODEL, Predictor


class ReviewHandler:
    """A TorchServe handler. Source: https://docs.pytorch.org/serve/custom_service.html."""

    def initialize(self, context: Any) -> None:
        """Load the model from the unpacked archive."""
        self._predictor = Predictor(Path(context.system_properties["model_dir"]) / EXPORTED_MODEL)

    def handle(self, requests: Sequence[Mapping[str, Any]], context: Any) -> list[dict[str, Any]]:
        """Predict the rating of each request's text, which is its body or its field `data`."""
        bodies = [request.get("body", request.get("data")) for request in requests]
        texts = [
            bytes(body).decode("utf-8", "replace") if isinstance(body, bytes | bytearray) else body for body in bodies
        ]
        return [prediction.model_dump() for prediction in predict_reviews(self._predictor, texts)]
