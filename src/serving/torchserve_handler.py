"""What TorchServe calls for a request: raw texts in, the ratings of the service out."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from src.serving.batching import predict_reviews
from src.serving.predictor import EXPORTED_MODEL, Predictor


class ReviewHandler:
    """A handler as https://docs.pytorch.org/serve/custom_page.html describes it."""

    def initialize(self, context: Any) -> None:
        """Load the model that lies in the unpacked archive."""
        self._predictor = Predictor(Path(context.system_properties["model_dir"]) / EXPORTED_MODEL)

    def handle(self, requests: Sequence[Mapping[str, Any]], context: Any) -> list[dict[str, Any]]:
        """Rate the text that is the body of each request, or its field `data`."""
        texts = [request.get("body", request.get("data")) for request in requests]
        given = [
            bytes(text).decode("utf-8", "replace") if isinstance(text, bytes | bytearray) else text for text in texts
        ]
        return [rating.model_dump() for rating in predict_reviews(self._predictor, given)]
