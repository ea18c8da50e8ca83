"""Write the model as an ONNX graph, which runs without PyTorch."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from onnx import NodeProto, TensorProto, helper, numpy_helper

from src.core.params import Cell, Model
from src.learning.model import PAIR_FACTOR, PAIR_SCALE, WIDE_SCALE
from src.text.vocabulary import UNKNOWN

OPSET = 18
IR_VERSION = 8
GATES: dict[Cell, list[int]] = {"lstm": [0, 3, 1, 2], "gru": [1, 0, 2], "rnn": [0]}
"""PyTorch's positions of the gates in ONNX's order: input, output, forget, cell; update, reset, hidden."""


class Graph:
    """The operations and constants of a graph under construction; both methods return the name of what they add."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []

    def constant(self, values: Any) -> str:
        """Add an array of numbers."""
        name = f"numbers_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def add(self, operation: str, *inputs: str, output: int = 0, **settings: Any) -> str:
        """Add an operation; `output` is the number of the output to use."""
        name = f"{operation}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operation, inputs, [""] * output + [name], **settings))
        return name


def build_onnx(settings: Model, weights: Mapping[str, np.ndarray], log_prior_shift: np.ndarray) -> bytes:
    """Return a ReviewModel as ONNX bytes; the shift of the log prior is added to its logits.

    Built by hand and not by torch.onnx: the graph needs only two dozen operations, which every runtime has; its bytes
    depend on the weights alone; and ONNX's own backward direction, which starts at the last word, needs no gather.
    weights: a ReviewModel's state dict. log_prior_shift: float64 [classes]. Graph input: `ids`, int64 [batch, words],
    padded on the right, at least one word per review. Graph output: `probabilities`, float64 [batch, classes].
    Source: ONNX operators as of version 18, https://onnx.ai/onnx/operators.
    """
    graph = Graph()
    ids = graph.add("Transpose", "ids", perm=[1, 0])  # recurrent operations take words as the first dimension
    mask = graph.add("Cast", ids, to=TensorProto.BOOL)  # the padding is 0
    ones = graph.add("Cast", mask, to=TensorProto.INT32)
    lengths = graph.add("ReduceSum", ones, graph.constant([0]), keepdims=0)
    column = graph.add("Unsqueeze", graph.add("Cast", lengths, to=TensorProto.FLOAT), graph.constant([1]))

    states = _recurrent_layers(graph, settings, weights, ids, lengths)
    pooled = states if settings.pooling == "last" else _pool(graph, settings, states, mask, column)
    output, bias = graph.constant(weights["output.weight"]), graph.constant(weights["output.bias"])
    logits = graph.add("Gemm", pooled, output, bias, transB=1)
    bags = [(WIDE_SCALE * weights["wide.weight"], ids)] if settings.bag_of_words else []
    if settings.word_pairs:
        bags.append((PAIR_SCALE * weights["pairs.weight"], _pair_rows(graph, settings.word_pairs, ids)))
    for table, rows in bags:
        bag = graph.add("Gather", graph.constant(table), rows)
        bag = graph.add("ReduceSum", bag, graph.constant([0]), keepdims=0)
        logits = graph.add("Add", logits, graph.add("Div", bag, graph.add("Sqrt", column)))
    shifted = graph.add("Add", graph.add("Cast", logits, to=TensorProto.DOUBLE), graph.constant(log_prior_shift))
    graph.nodes.append(helper.make_node("Softmax", [shifted], ["probabilities"], axis=1))

    graph_input = helper.make_tensor_value_info("ids", TensorProto.INT64, ["batch", "words"])
    graph_output = helper.make_tensor_value_info("probabilities", TensorProto.DOUBLE, ["batch", len(log_prior_shift)])
    model = helper.make_model(
        helper.make_graph(graph.nodes, "review_stars", [graph_input], [graph_output], graph.constants),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
    )
    return model.SerializeToString(deterministic=True)


def _pair_rows(graph: Graph, rows: int, ids: str) -> str:
    """Add learning.model.pair_rows: ids [words, batch] -> the row of each pair of neighbours [words - 1, batch]."""
    first = graph.add("Slice", ids, graph.constant([0]), graph.constant([-1]), graph.constant([0]))
    second = graph.add("Slice", ids, graph.constant([1]), graph.constant([2**62]), graph.constant([0]))
    mixed = graph.add("Add", graph.add("Mul", first, graph.constant(PAIR_FACTOR)), second)
    bucket = graph.add("Add", graph.add("Mod", mixed, graph.constant(rows)), graph.constant(1))
    both = graph.add("And", *(graph.add("Greater", word, graph.constant(UNKNOWN)) for word in (first, second)))
    return graph.add("Mul", bucket, graph.add("Cast", both, to=TensorProto.INT64))


def _recurrent_layers(graph: Graph, settings: Model, weights: Mapping[str, np.ndarray], ids: str, lengths: str) -> str:
    """Add the recurrent layers: ids [words, batch] -> the state at each word, [words, directions, batch, hidden].

    With the pooling `last`, the result is the state after the last word, [batch, width].
    """
    kind: dict[str, Any] = {"direction": "bidirectional" if settings.bidirectional else "forward"}
    if settings.cell == "gru":
        kind["linear_before_reset"] = 1  # PyTorch's variant of the GRU
    states = graph.add("Gather", graph.constant(weights["embedding.weight"]), ids)
    for layer in range(settings.num_layers):
        if layer:
            states = _join_directions(graph, settings, states, [0, 2, 1, 3])
        constants = [graph.constant(values) for values in _recurrent_weights(settings, weights, layer)]
        last = settings.pooling == "last" and layer == settings.num_layers - 1
        kind |= {"hidden_size": settings.hidden_size, "output": int(last)}
        states = graph.add(settings.cell.upper(), states, *constants, lengths, **kind)
    return _join_directions(graph, settings, states, [1, 0, 2]) if settings.pooling == "last" else states


def _recurrent_weights(settings: Model, weights: Mapping[str, np.ndarray], layer: int) -> list[np.ndarray]:
    """Return the weights of inputs, the weights of states and the biases of both in ONNX's layout.

    [directions, gates * hidden, inputs], [directions, gates * hidden, hidden], [directions, 2 * gates * hidden].
    """

    def ordered(direction: str, name: str) -> np.ndarray:
        gates = np.split(weights[f"{direction}.{layer}.{name}_l0"], len(GATES[settings.cell]))
        return np.concatenate([gates[position] for position in GATES[settings.cell]])

    directions = ["forwards", "backwards"] if settings.bidirectional else ["forwards"]
    inputs, states, input_bias, state_bias = (
        np.stack([ordered(direction, name) for direction in directions])
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    )
    return [inputs, states, np.concatenate([input_bias, state_bias], axis=1)]


def _pool(graph: Graph, settings: Model, states: str, mask: str, lengths: str) -> str:
    """Add max or mean pooling, or both, over the words without padding; states: [words, directions, batch, hidden]."""
    mask = graph.add("Unsqueeze", mask, graph.constant([1, 3]))

    def over_words(reduce: str, padding: float) -> str:
        masked = graph.add("Where", mask, states, graph.constant(np.float32(padding)))
        return _join_directions(graph, settings, graph.add(reduce, masked, graph.constant([0]), keepdims=0), [1, 0, 2])

    def mean() -> str:
        return graph.add("Div", over_words("ReduceSum", 0), lengths)

    if settings.pooling == "mean":
        return mean()
    largest = over_words("ReduceMax", -np.inf)
    return largest if settings.pooling == "max" else graph.add("Concat", largest, mean(), axis=1)


def _join_directions(graph: Graph, settings: Model, states: str, order: list[int]) -> str:
    """Transpose, then join the directions: [..., directions, hidden] -> [..., width]."""
    shape = [0] * (len(order) - 2) + [settings.hidden_size * (2 if settings.bidirectional else 1)]
    return graph.add("Reshape", graph.add("Transpose", states, perm=order), graph.constant(shape))
