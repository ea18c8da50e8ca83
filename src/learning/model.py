"""The recurrent network that reads a review."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn

from src.core.files import read_json, write_json
from src.core.params import Cell, Model
from src.text.vocabulary import PADDING, UNKNOWN

CELLS: dict[Cell, Callable[..., nn.RNNBase]] = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}
EMBEDDING_SPREAD = 0.1
# Adam moves each weight by about the learning rate a step, which is little for one that few reviews reach.
WIDE_SCALE = 3.0


class ReviewModel(nn.Module):
    """Embedding, recurrent layers in one or two directions, pooling over the words, one logit a class.

    A second direction is a one-way layer of its own that reads the review from its last word to its first; padding
    stands behind the words in both, so it changes nothing: a review has the same logits alone and in any batch.
    With `wide`, each word also adds to the logits what it says wherever it stands.
    Source: Cheng et al., Wide and Deep Learning for Recommender Systems, DLRS 2016, https://arxiv.org/abs/1606.07792.
    """

    def __init__(self, settings: Model, words: int, classes: int) -> None:
        super().__init__()
        self.settings = settings
        cell = CELLS[settings.cell]
        width = settings.hidden_size * (2 if settings.bidirectional else 1)
        inputs = [settings.embedding_dim] + [width] * (settings.num_layers - 1)
        self.embedding = make_embedding(words, settings.embedding_dim)
        self.forwards = nn.ModuleList(cell(size, settings.hidden_size, batch_first=True) for size in inputs)
        if settings.bidirectional:
            self.backwards = nn.ModuleList(cell(size, settings.hidden_size, batch_first=True) for size in inputs)
        self.dropout = Dropout(settings.dropout)
        self.output = nn.Linear(width * (2 if settings.pooling == "max_mean" else 1), classes)
        if settings.bag_of_words:
            self.wide = nn.Embedding(words, classes, padding_idx=PADDING, _weight=torch.zeros(words, classes))

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """From ids int64 [batch, words], padded on the right, and lengths int64 [batch] to logits [batch, classes]."""
        if self.training:
            ids = drop_words(ids, self.settings.word_dropout)
        states = self.dropout(self.embedding(ids))
        for layer, forward in enumerate(self.forwards):
            if layer:
                states = self.dropout(states)
                if self.settings.bidirectional:
                    ahead, back = states.chunk(2, dim=2)
                    states = torch.cat([ahead, reverse(back, lengths)], dim=2)
            ahead = forward(states)[0]
            if self.settings.bidirectional:
                back = self.backwards[layer](reverse(states, lengths))[0]
                ahead = torch.cat([ahead, back], dim=2)
            states = ahead
        logits: Tensor = self.output(self.dropout(self._pool(states, lengths)))
        if self.settings.bag_of_words:
            # No sqrt: MKL's begins with an instruction, rsqrtps, that Intel and AMD round differently.
            logits = logits + WIDE_SCALE * self.wide(ids).sum(dim=1) * lengths[:, None].rsqrt()
        return logits

    def _pool(self, states: Tensor, lengths: Tensor) -> Tensor:
        """From a state for each word [batch, words, width], in the order it was read, to one for the review."""
        if self.settings.pooling == "last":
            return states[torch.arange(len(states), device=states.device), lengths - 1]
        real = torch.arange(states.shape[1], device=states.device) < lengths[:, None]
        largest = (states + real.log()[:, :, None]).max(dim=1).values
        if self.settings.pooling == "max":
            return largest
        mean = ((real / lengths[:, None])[:, None] @ states)[:, 0]
        return mean if self.settings.pooling == "mean" else torch.cat([largest, mean], dim=1)


def save_model(folder: Path, model: ReviewModel) -> None:
    """Write the weights as safetensors, and beside them what `load_model` needs to build the network."""
    weights = {name: values.cpu() for name, values in model.state_dict().items()}
    (folder / "model.safetensors").write_bytes(save(weights))
    write_json(folder / "model.json", {"model": model.settings.model_dump(), "words": len(model.embedding.weight)})


def load_model(folder: Path, classes: int) -> ReviewModel:
    """Build the network that `save_model` wrote, on the CPU."""
    description = read_json(folder / "model.json")
    model = ReviewModel(Model(**description["model"]), description["words"], classes)
    model.load_state_dict(load_file(folder / "model.safetensors"))
    return model


class Dropout(nn.Dropout):
    """The same as nn.Dropout, but by torch.rand, which draws four times as fast on a CPU."""

    def forward(self, states: Tensor) -> Tensor:
        """Make a share of the numbers 0 while training, and the others larger."""
        return states * ((torch.rand_like(states) >= self.p) / (1 - self.p)) if self.training else states


def make_embedding(words: int, size: int) -> nn.Embedding:
    """A row of small random numbers for each word, and of zeros for the padding."""
    embedding = nn.Embedding(words, size, padding_idx=PADDING)
    with torch.no_grad():
        embedding.weight[UNKNOWN:].normal_(std=EMBEDDING_SPREAD)
    return embedding


def initialize_embedding(embedding: nn.Embedding, vectors: Mapping[int, np.ndarray]) -> None:
    """Put vectors, float [size], in the place of the random numbers of some words, scaled to be as large."""
    if vectors:
        values = np.stack(list(vectors.values()))
        spread = np.sqrt((values**2).mean()) or 1.0
        with torch.no_grad():
            embedding.weight[list(vectors)] = torch.from_numpy(values * (EMBEDDING_SPREAD / spread)).float()


def drop_words(ids: Tensor, share: float) -> Tensor:
    """Make a share of the words unknown, as the words of tomorrow's reviews will be."""
    hidden = torch.rand(ids.shape, device=ids.device) < share
    return ids.masked_fill(hidden & (ids != PADDING), UNKNOWN)


def reverse(states: Tensor, lengths: Tensor) -> Tensor:
    """Turn the order of each review's words round and leave its padding behind them: [batch, words, width]."""
    place = torch.arange(states.shape[1], device=states.device)
    mirrored = lengths[:, None] - 1 - place
    index = torch.where(mirrored >= 0, mirrored, place)
    index = index + states.shape[1] * torch.arange(len(states), device=states.device)[:, None]
    return states.flatten(0, 1).index_select(0, index.flatten()).view_as(states)
