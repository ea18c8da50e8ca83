"""The pre-training task: predict the next word, reading forwards and backwards.

Only the embedding is kept. Starting from the recurrent layers too, as the source does, did not help on real reviews and
made results worse where word order matters (docs/RESULTS.md).

Source: Dai and Le, Semi-supervised Sequence Learning, NIPS 2015, https://arxiv.org/abs/1511.01432.
"""

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from src.core.params import Pretrain
from src.learning.model import Dropout, drop_words, make_embedding, reverse
from src.learning.training import to_tensors
from src.text.encoded import EncodedReviews, batches_by_length
from src.text.vocabulary import PADDING

EVALUATION_BATCH = 32
LOGITS_AT_ONCE = 4096  # words predicted at a time; the logits take 330 MB with a vocabulary of 20,000 words


class LanguageModel(nn.Module):
    """A forward and a backward LSTM that share an embedding; their hidden size is its dimension.

    The output layer is tied to the embedding, which learns most from that.
    Source: Press and Wolf, Using the Output Embedding to Improve Language Models, EACL 2017,
    https://arxiv.org/abs/1608.05859.
    """

    def __init__(self, settings: Pretrain, words: int, embedding_dim: int) -> None:
        super().__init__()
        self.settings = settings
        self.embedding = make_embedding(words, embedding_dim)
        self.readers = nn.ModuleList(nn.LSTM(embedding_dim, embedding_dim, batch_first=True) for _ in range(2))
        self.bias = nn.Parameter(torch.zeros(words))
        self.dropout = Dropout(settings.dropout)

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """Compute the negative log-likelihood of each next word.

        ids: int64 [batch, words], padded on the right. lengths: int64 [batch]. Returns float [next words]: first those
        of the forward LSTM, then those of the backward LSTM.
        """
        hidden, targets = [], []
        for lstm, words in zip(self.readers, (ids, reverse(ids[:, :, None], lengths)[:, :, 0]), strict=True):
            inputs = drop_words(words, self.settings.word_dropout) if self.training else words
            real = words[:, 1:] != PADDING
            hidden.append(self.dropout(lstm(self.dropout(self.embedding(inputs)))[0][:, :-1])[real])
            targets.append(words[:, 1:][real])
        return self._nll(torch.cat(hidden), torch.cat(targets))

    def _nll(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy of the softmax over all words or, while training with a large vocabulary, over a sample.

        The sample is all targets of this batch and `softmax_words` of the other words, drawn at random. These are
        weighted to represent all other words, so that the expected sum over all words is right.
        Source: Jean et al., On Using Very Large Target Vocabulary for Neural Machine Translation, ACL 2015,
        section 3.2, https://arxiv.org/abs/1412.2007.
        """
        words = len(self.bias)
        if not self.training or words <= self.settings.softmax_words:
            parts = zip(hidden.split(LOGITS_AT_ONCE), targets.split(LOGITS_AT_ONCE), strict=True)
            return torch.cat([self._full_nll(*part) for part in parts])
        is_target = torch.zeros(words, dtype=torch.bool, device=targets.device)
        is_target[targets] = True
        rest = torch.nonzero(~is_target)[:, 0]  # never empty: the padding is never a target
        sample = rest[torch.randperm(len(rest), device=rest.device)[: self.settings.softmax_words]]
        candidates = torch.cat([torch.nonzero(is_target)[:, 0], sample])
        positions = (torch.cumsum(is_target, dim=0) - 1)[targets]
        log_weights = torch.zeros(len(candidates), device=hidden.device)
        log_weights[len(candidates) - len(sample) :] = math.log(len(rest) / len(sample))
        logits = functional.linear(hidden, self.embedding(candidates), self.bias[candidates] + log_weights)
        return functional.cross_entropy(logits.float(), positions, reduction="none")

    def _full_nll(self, hidden: Tensor, targets: Tensor) -> Tensor:
        logits = functional.linear(hidden, self.embedding.weight, self.bias)
        return functional.cross_entropy(logits.float(), targets, reduction="none")


class LanguageModelTask:
    """Learn the next words of some reviews; validate on others. A Task of training."""

    def __init__(self, network: LanguageModel, reviews: EncodedReviews, valid: EncodedReviews) -> None:
        self.network = network
        self.reviews, self.valid = reviews, valid
        # Without a word to predict in the validation split, no epoch can be chosen as the best: train on nothing.
        self.rows = _rows_with_next_word(reviews) if len(_rows_with_next_word(valid)) else np.zeros(0, np.int64)
        self.device = next(network.parameters()).device

    def loss(self, rows: np.ndarray) -> tuple[Tensor, int]:
        """Return the mean negative log-likelihood of the next words of some reviews, in nats, and their number."""
        nll = self.network(*to_tensors(self.reviews, rows, self.device))
        return nll.mean(), len(nll)

    def validate(self) -> dict[str, float]:
        """Return the mean negative log-likelihood of the next words of the validation split."""
        total, words = 0.0, 0
        self.network.eval()
        with torch.inference_mode():
            for part in self.valid.parts():
                for batch in batches_by_length(part.lengths, EVALUATION_BATCH):
                    nll = self.network(*to_tensors(part, batch, self.device))
                    total, words = total + nll.sum().item(), words + len(nll)
        return {"valid/loss": total / words}


def _rows_with_next_word(reviews: EncodedReviews) -> np.ndarray:
    """Return the rows with at least two words, int64, sorted."""
    rows, start = [np.zeros(0, np.int64)], 0
    for part in reviews.parts():
        rows.append(start + np.flatnonzero(part.lengths > 1))
        start += len(part.labels)
    return np.concatenate(rows)
