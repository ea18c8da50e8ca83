"""The model as an ONNX graph, which runs without PyTorch."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from onnx import NodeProto, TensorProto, helper, numpy_helper

from src.core.params import Cell, Model
from src.learning.model import WIDE_SCALE

OPSET = 18
IR_VERSION = 8
GATES: dict[Cell, list[int]] = {"lstm": [0, 3, 1, 2], "gru": [1, 0, 2], "rnn": [0]}
"""Where PyTorch keeps what ONNX wants in this order: input, output, forget, cell; update, reset, hidden."""


class Graph:
    """Operations and numbers of a graph under construction; what is added is known by the name that is given back."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.numbers: list[TensorProto] = []

    def constant(self, values: Any) -> str:
        """Add numbers, as they are."""
        name = f"numbers_{len(self.numbers)}"
        self.numbers.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def add(self, operation: str, *inputs: str, output: int = 0, **settings: Any) -> str:
        """Add an operation; of its outputs the one with this number is looked at."""
        name = f"{operation}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operation, inputs, [""] * output + [name], **settings))
        return name


def build_onnx(settings: Model, weights: Mapping[str, np.ndarray], log_prior_shift: np.ndarray) -> bytes:
    """Write a ReviewModel as ONNX; it gives the probabilities for the prior that the shift leads to.

    Built by hand rather than by torch.onnx: two dozen operations that every runtime has, bytes that depend on the
    weights alone, and ONNX's own reading of a review from its last word, which needs no gather.
    weights: the state of a ReviewModel. Input of the graph: `ids`, int64 [batch, words], padded on the right; each
    review has one word at least. Its output: `probabilities`, float64 [batch, classes].
    Source: ONNX operators as of version 18, https://onnx.ai/onnx/operators.
    """
    graph = Graph()
    ids = graph.add("Transpose", "ids", perm=[1, 0])  # words before reviews, as recurrent operations want it
    real = graph.add("Cast", ids, to=TensorProto.BOOL)  # the padding is 0
    counted = graph.add("Cast", real, to=TensorProto.INT32)
    lengths = graph.add("ReduceSum", counted, graph.constant([0]), keepdims=0)
    column = graph.add("Unsqueeze", graph.add("Cast", lengths, to=TensorProto.FLOAT), graph.constant([1]))

    states = _read(graph, settings, weights, ids, lengths)
    pooled = states if settings.pooling == "last" else _pooled(graph, settings, states, real, column)
    output, bias = graph.constant(weights["output.weight"]), graph.constant(weights["output.bias"])
    logits = graph.add("Gemm", pooled, output, bias, transB=1)
    if settings.bag_of_words:
        said = graph.add("Gather", graph.constant(WIDE_SCALE * weights["wide.weight"]), ids)
        said = graph.add("ReduceSum", said, graph.constant([0]), keepdims=0)
        logits = graph.add("Add", logits, graph.add("Div", said, graph.add("Sqrt", column)))
    shifted = graph.add("Add", graph.add("Cast", logits, to=TensorProto.DOUBLE), graph.constant(log_prior_shift))
    graph.nodes.append(helper.make_node("Softmax", [shifted], ["probabilities"], axis=1))

    given = helper.make_tensor_value_info("ids", TensorProto.INT64, ["batch", "words"])
    gives = helper.make_tensor_value_info("probabilities", TensorProto.DOUBLE, ["batch", len(log_prior_shift)])
    model = helper.make_model(
        helper.make_graph(graph.nodes, "review_stars", [given], [gives], graph.numbers),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
    )
    return model.SerializeToString(deterministic=True)


def _read(graph: Graph, settings: Model, weights: Mapping[str, np.ndarray], ids: str, lengths: str) -> str:
    """From ids [words, batch] to a state for each word, [words, directions, batch, hidden].

    For the pooling `last` to the state after the last word that is read, [batch, width].
    """
    kind: dict[str, Any] = {"direction": "bidirectional" if settings.bidirectional else "forward"}
    if settings.cell == "gru":
        kind["linear_before_reset"] = 1  # as PyTorch has it
    states = graph.add("Gather", graph.constant(weights["embedding.weight"]), ids)
    for layer in range(settings.num_layers):
        if layer:
            states = _side_by_side(graph, settings, states, [0, 2, 1, 3])
        numbers = [graph.constant(values) for values in _recurrent_weights(settings, weights, layer)]
        last = settings.pooling == "last" and layer == settings.num_layers - 1
        kind |= {"hidden_size": settings.hidden_size, "output": int(last)}
        states = graph.add(settings.cell.upper(), states, *numbers, lengths, **kind)
    return _side_by_side(graph, settings, states, [1, 0, 2]) if settings.pooling == "last" else states


def _recurrent_weights(settings: Model, weights: Mapping[str, np.ndarray], layer: int) -> list[np.ndarray]:
    """Weights of inputs, weights of states and biases of both, as ONNX wants them.

    [directions, gates * hidden, inputs], [directions, gates * hidden, hidden], [directions, 2 * gates * hidden].
    """

    def ordered(direction: str, name: str) -> np.ndarray:
        gates = np.split(weights[f"{direction}.{layer}.{name}_l0"], len(GATES[settings.cell]))
        return np.concatenate([gates[place] for place in GATES[settings.cell]])

    directions = ["forwards", "backwards"] if settings.bidirectional else ["forwards"]
    inputs, states, input_bias, state_bias = (
        np.stack([ordered(direction, name) for direction in directions])
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    )
    return [inputs, states, np.concatenate([input_bias, state_bias], axis=1)]


def _pooled(graph: Graph, settings: Model, states: str, real: str, lengths: str) -> str:
    """From states [words, directions, batch, hidden] to their largest, their mean or both over real words."""
    real = graph.add("Unsqueeze", real, graph.constant([1, 3]))

    def over_words(reduce: str, padding: float) -> str:
        masked = graph.add("Where", real, states, graph.constant(np.float32(padding)))
        return _side_by_side(graph, settings, graph.add(reduce, masked, graph.constant([0]), keepdims=0), [1, 0, 2])

    def mean() -> str:
        return graph.add("Div", over_words("ReduceSum", 0), lengths)

    if settings.pooling == "mean":
        return mean()
    largest = over_words("ReduceMax", -np.inf)
    return largest if settings.pooling == "max" else graph.add("Concat", largest, mean(), axis=1)


def _side_by_side(graph: Graph, settings: Model, states: str, order: list[int]) -> str:
    """Bring the directions, once in order, beside each other: [..., directions, hidden] -> [..., width]."""
    shape = [0] * (len(order) - 2) + [settings.hidden_size * (2 if settings.bidirectional else 1)]
    return graph.add("Reshape", graph.add("Transpose", states, perm=order), graph.constant(shape))
