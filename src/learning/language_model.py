"""The task that comes before the stars: to say which word follows, read forwards and read backwards.

What it leaves is the embedding. Starting from its recurrent layers too, as the source does, gained nothing on real
reviews and lost where the order of the words decides (docs/RESULTS.md).

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
LOGITS_AT_ONCE = 4096  # next words for which the logits of all words are held: 330 MB at 20,000 words


class LanguageModel(nn.Module):
    """An LSTM that reads forwards and one that reads backwards, as wide as the embedding that both share.

    The embedding is also the weight of their softmax, which teaches it most.
    Source: Press and Wolf, Using the Output Embedding to Improve Language Models, EACL 2017,
    https://arxiv.org/abs/1608.05859.
    """

    def __init__(self, settings: Pretrain, words: int, embedding: int) -> None:
        super().__init__()
        self.settings = settings
        self.embedding = make_embedding(words, embedding)
        self.readers = nn.ModuleList(nn.LSTM(embedding, embedding, batch_first=True) for _ in range(2))
        self.bias = nn.Parameter(torch.zeros(words))
        self.dropout = Dropout(settings.dropout)

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """From ids int64 [batch, words], padded on the right, to -log of the probability of each next word.

        Returns float [next words], those read forwards, then those read backwards.
        """
        states, following = [], []
        for reader, read in zip(self.readers, (ids, reverse(ids[:, :, None], lengths)[:, :, 0]), strict=True):
            seen = drop_words(read, self.settings.word_dropout) if self.training else read
            there = read[:, 1:] != PADDING
            states.append(self.dropout(reader(self.dropout(self.embedding(seen)))[0][:, :-1])[there])
            following.append(read[:, 1:][there])
        return self._nll(torch.cat(states), torch.cat(following))

    def _nll(self, states: Tensor, following: Tensor) -> Tensor:
        """Cross-entropy of the softmax over all words; while a large vocabulary is learnt, over some of them.

        Those are the words that follow in this batch and others, drawn at random, that stand for all the rest: the
        sum over all words is then right on the average.
        Source: Jean et al., On Using Very Large Target Vocabulary for Neural Machine Translation, ACL 2015,
        section 3.2, https://arxiv.org/abs/1412.2007.
        """
        words = len(self.bias)
        if not self.training or words <= self.settings.softmax_words:
            parts = zip(states.split(LOGITS_AT_ONCE), following.split(LOGITS_AT_ONCE), strict=True)
            return torch.cat([self._full_nll(*part) for part in parts])
        present = torch.zeros(words, dtype=torch.bool, device=following.device)
        present[following] = True
        rest = torch.nonzero(~present)[:, 0]
        drawn = rest[torch.randperm(len(rest), device=rest.device)[: self.settings.softmax_words]]
        candidates = torch.cat([torch.nonzero(present)[:, 0], drawn])
        places = (torch.cumsum(present, dim=0) - 1)[following]
        stands_for = torch.zeros(len(candidates), device=states.device)
        stands_for[len(candidates) - len(drawn) :] = math.log(len(rest) / len(drawn))  # padding is always there
        logits = functional.linear(states, self.embedding(candidates), self.bias[candidates] + stands_for)
        return functional.cross_entropy(logits.float(), places, reduction="none")

    def _full_nll(self, states: Tensor, following: Tensor) -> Tensor:
        logits = functional.linear(states, self.embedding.weight, self.bias)
        return functional.cross_entropy(logits.float(), following, reduction="none")


class LanguageModelTask:
    """Learn the next word of some reviews; measure on others. A Task of training."""

    def __init__(self, network: LanguageModel, reviews: EncodedReviews, valid: EncodedReviews) -> None:
        self.network = network
        self.reviews, self.valid = reviews, valid
        # Without a next word to measure on no epoch is better than another, and there is nothing to do.
        self.rows = _with_a_next_word(reviews) if len(_with_a_next_word(valid)) else np.zeros(0, np.int64)
        self.device = next(network.parameters()).device

    def loss(self, rows: np.ndarray) -> tuple[Tensor, int]:
        """The mean of -log of the probability of each next word, and the number of words."""
        nll = self.network(*to_tensors(self.reviews, rows, self.device))
        return nll.mean(), len(nll)

    def validate(self) -> dict[str, float]:
        """The same on the validation split."""
        total, words = 0.0, 0
        self.network.eval()
        with torch.inference_mode():
            for part in self.valid.parts():
                for batch in batches_by_length(part.lengths, EVALUATION_BATCH):
                    nll = self.network(*to_tensors(part, batch, self.device))
                    total, words = total + nll.sum().item(), words + len(nll)
        return {"valid/loss": total / words}


def _with_a_next_word(reviews: EncodedReviews) -> np.ndarray:
    """The rows of two words and more, int64, sorted."""
    found, start = [np.zeros(0, np.int64)], 0
    for part in reviews.parts():
        found.append(start + np.flatnonzero(part.lengths > 1))
        start += len(part.labels)
    return np.concatenate(found)
