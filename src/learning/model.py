"""The recurrent network that predicts the rating of a review."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn

from src.core.files import read_json, write_json
from src.core.params import Cell, Model
from src.text.vocabulary import FIRST_WORD, PADDING, UNKNOWN

CELLS: dict[Cell, Callable[..., nn.RNNBase]] = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}
EMBEDDING_STD = 0.1
# Adam moves a weight by about the learning rate per step: too little for words in few reviews, without this factor.
WIDE_SCALE = 3.0
# Smaller than that of single words: pairs must not learn by heart what the recurrent layers can learn.
PAIR_SCALE = 1.0
PAIR_FACTOR = 1_000_003
"""A prime that spreads the pairs of words over the buckets."""


class ReviewModel(nn.Module):
    """Embedding, recurrent layers in one or two directions, pooling over the words, one logit per class.

    The backward direction is a unidirectional layer that reads the reversed words. Padding follows the words in both
    directions and so has no effect: a review has the same logits alone and in any batch.
    With `bag_of_words`, each word also adds logits of its own, wherever it is in the review. With `word_pairs`, so does
    each pair of neighbouring known words; pairs share that number of rows by a hash.
    Sources: Cheng et al., Wide and Deep Learning for Recommender Systems, DLRS 2016, https://arxiv.org/abs/1606.07792;
    Joulin et al., Bag of Tricks for Efficient Text Classification, EACL 2017, https://arxiv.org/abs/1607.01759 (pairs).
    """

    def __init__(self, settings: Model, words: int, classes: int) -> None:
        super().__init__()
        self.settings = settings
        cell = CELLS[settings.cell]
        output_size = settings.hidden_size * (2 if settings.bidirectional else 1)
        input_sizes = [settings.embedding_dim] + [output_size] * (settings.num_layers - 1)
        self.embedding = make_embedding(words, settings.embedding_dim)
        self.forwards = nn.ModuleList(cell(size, settings.hidden_size, batch_first=True) for size in input_sizes)
        if settings.bidirectional:
            self.backwards = nn.ModuleList(cell(size, settings.hidden_size, batch_first=True) for size in input_sizes)
        self.dropout = Dropout(settings.dropout)
        self.output = nn.Linear(output_size * (2 if settings.pooling == "max_mean" else 1), classes)
        if settings.bag_of_words:
            # Not renamed to bag_of_words: `wide`, Cheng et al.'s word, names the tensor in every model.safetensors.
            self.wide = nn.Embedding(words, classes, padding_idx=PADDING, _weight=torch.zeros(words, classes))
        if settings.word_pairs:
            rows = 1 + settings.word_pairs
            self.pairs = nn.Embedding(rows, classes, padding_idx=PADDING, _weight=torch.zeros(rows, classes))

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """Compute logits [batch, classes] from ids int64 [batch, words], padded on the right, and lengths int64."""
        if self.training:
            ids = drop_words(ids, self.settings.word_dropout)
        hidden = self.dropout(self.embedding(ids))
        for layer, forward_cell in enumerate(self.forwards):
            if layer:
                hidden = self.dropout(hidden)
                if self.settings.bidirectional:
                    forward_hidden, backward_hidden = hidden.chunk(2, dim=2)
                    hidden = torch.cat([forward_hidden, reverse(backward_hidden, lengths)], dim=2)
            outputs = [forward_cell(hidden)[0]]
            if self.settings.bidirectional:
                outputs.append(self.backwards[layer](reverse(hidden, lengths))[0])
            hidden = torch.cat(outputs, dim=2)
        logits: Tensor = self.output(self.dropout(self._pool(hidden, lengths)))
        # Not sqrt: MKL's starts from rsqrtps, an instruction that Intel and AMD round differently.
        scale = lengths[:, None].rsqrt()
        if self.settings.bag_of_words:
            logits = logits + WIDE_SCALE * self.wide(ids).sum(dim=1) * scale
        if self.settings.word_pairs:
            rows = pair_rows(ids, self.settings.word_pairs)
            logits = logits + PAIR_SCALE * self.pairs(rows).sum(dim=1) * scale
        return logits

    def _pool(self, hidden: Tensor, lengths: Tensor) -> Tensor:
        """Pool the hidden states [batch, words, size], in the order of reading, to one vector per review."""
        if self.settings.pooling == "last":
            return hidden[torch.arange(len(hidden), device=hidden.device), lengths - 1]
        real = torch.arange(hidden.shape[1], device=hidden.device) < lengths[:, None]
        maximum = (hidden + real.log()[:, :, None]).max(dim=1).values
        if self.settings.pooling == "max":
            return maximum
        mean = ((real / lengths[:, None])[:, None] @ hidden)[:, 0]
        return mean if self.settings.pooling == "mean" else torch.cat([maximum, mean], dim=1)


def save_model(folder: Path, model: ReviewModel) -> None:
    """Write the weights as safetensors, and the settings that `load_model` needs to model.json."""
    weights = {name: values.cpu() for name, values in model.state_dict().items()}
    (folder / "model.safetensors").write_bytes(save(weights))
    write_json(folder / "model.json", {"model": model.settings.model_dump(), "words": len(model.embedding.weight)})


def load_model(folder: Path, classes: int) -> ReviewModel:
    """Load a network that `save_model` wrote, on the CPU."""
    description = read_json(folder / "model.json")
    model = ReviewModel(Model(**description["model"]), description["words"], classes)
    model.load_state_dict(load_file(folder / "model.safetensors"))
    return model


class Dropout(nn.Dropout):
    """The same as nn.Dropout, but based on torch.rand, which is four times as fast on a CPU."""

    def forward(self, values: Tensor) -> Tensor:
        """While training, set values to 0 with probability p and scale the rest by 1 / (1 - p)."""
        return values * ((torch.rand_like(values) >= self.p) / (1 - self.p)) if self.training else values


def make_embedding(words: int, embedding_dim: int) -> nn.Embedding:
    """Create an embedding with small random weights, and zeros for the padding."""
    embedding = nn.Embedding(words, embedding_dim, padding_idx=PADDING)
    with torch.no_grad():
        embedding.weight[UNKNOWN:].normal_(std=EMBEDDING_STD)
    return embedding


def initialize_embedding(embedding: nn.Embedding, vectors: Mapping[int, np.ndarray]) -> None:
    """Replace the random weights of some words by vectors, float [embedding_dim], scaled to the same magnitude."""
    if vectors:
        values = np.stack(list(vectors.values()))
        rms = np.sqrt((values**2).mean()) or 1.0
        with torch.no_grad():
            embedding.weight[list(vectors)] = torch.from_numpy(values * (EMBEDDING_STD / rms)).float()


def drop_words(ids: Tensor, p: float) -> Tensor:
    """Make each word unknown with probability p, since new reviews will contain unknown words (word dropout)."""
    dropped = torch.rand(ids.shape, device=ids.device) < p
    return ids.masked_fill(dropped & (ids != PADDING), UNKNOWN)


def pair_rows(ids: Tensor, rows: int) -> Tensor:
    """Return the row of each pair of neighbours, int64 [batch, words - 1]: 1 .. rows, or 0 if a word is unknown."""
    first, second = ids[:, :-1], ids[:, 1:]
    known = (first >= FIRST_WORD) & (second >= FIRST_WORD)
    return (1 + (first * PAIR_FACTOR + second) % rows) * known


def reverse(values: Tensor, lengths: Tensor) -> Tensor:
    """Reverse the words of each review but keep the padding after them: [batch, words, size]."""
    position = torch.arange(values.shape[1], device=values.device)
    mirrored = lengths[:, None] - 1 - position
    index = torch.where(mirrored >= 0, mirrored, position)
    index = index + values.shape[1] * torch.arange(len(values), device=values.device)[:, None]
    return values.flatten(0, 1).index_select(0, index.flatten()).view_as(values)
