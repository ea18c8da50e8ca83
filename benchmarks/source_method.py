"""The method of the source document, step by step: resampling, cleaning, ids, model, training.

Source: https://github.com/vidisha999/Review-classification-model-LSTM-using-PyTorch
"""

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from nltk.stem.porter import PorterStemmer
from nltk.stem.snowball import SnowballStemmer
from sklearn.utils import resample
from torch import Tensor, nn

from src.core.params import Language
from src.core.schema import STARS
from src.text.stop_words import find_stop_words

REVIEWS = {1: 225, 2: 200, 3: 300, 4: 250, 5: 600}  # of each star, after resampling
TABLE = 1500  # reviews before it
WORDS = 2000  # padding counts as one
LENGTH = 600
BATCH = 50
EPOCHS = 10


def draw(table: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Draw the source's number of reviews of each star, for its 1,500 reviews; of other tables as many in proportion.

    Five stars are drawn without replacement where there are enough, all others with it.
    """
    parts = []
    for star, reviews in REVIEWS.items():
        rows = table[table.rating == star]
        wanted = round(reviews * len(table) / TABLE)
        if len(rows):
            replace = star != 5 or wanted > len(rows)
            parts.append(resample(rows, replace=replace, n_samples=wanted, random_state=seed))
    return pd.concat(parts, ignore_index=True)


def clean(texts: pd.Series, language: Language) -> list[str]:
    """Lower case; marks, digits, single letters and stop words go, negations too; stems.

    scikit-learn's list stands in for NLTK's, which has to be downloaded.
    """
    stop = find_stop_words(language).stop
    stem = PorterStemmer().stem if language == "english" else SnowballStemmer(language).stem
    words = (re.sub(r"\W|\d", " ", text.lower()).split() for text in texts)
    return [" ".join(stem(word) for word in review if len(word) > 1 and word not in stop) for review in words]


def word_index(texts: Sequence[str]) -> dict[str, int]:
    """Number the most frequent words from 1."""
    counts = Counter(word for text in texts for word in text.split())
    return {word: place for place, (word, _) in enumerate(counts.most_common(WORDS - 1), start=1)}


def padded_ids(texts: Sequence[str], index: dict[str, int]) -> np.ndarray:
    """Ids of the known words, int64 [reviews, 600]: padding in front, and of a longer review its end."""
    padded = np.zeros((len(texts), LENGTH), np.int64)
    for row, text in zip(padded, texts, strict=True):
        ids = [index[word] for word in text.split() if word in index][-LENGTH:]
        row[LENGTH - len(ids) :] = ids
    return padded


class SourceModel(nn.Module):
    """Embedding, two LSTM layers, the last state, and probabilities."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(WORDS, 128, padding_idx=0)
        self.lstm = nn.LSTM(128, 64, num_layers=2, batch_first=True)
        self.output = nn.Linear(64, len(STARS))

    def forward(self, ids: Tensor) -> Tensor:
        """From ids int64 [batch, 600] to probabilities float [batch, 5]."""
        return self.output(self.lstm(self.embedding(ids))[0][:, -1]).softmax(dim=1)


def fit(ids: np.ndarray, labels: np.ndarray, seed: int) -> SourceModel:
    """Train on ids int64 [reviews, 600] and labels int [reviews]; the last epoch counts."""
    torch.manual_seed(seed)
    model = SourceModel()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.001)
    inputs, targets = torch.from_numpy(ids), torch.from_numpy(labels.astype(np.int64))
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(inputs)).split(BATCH):
            # cross_entropy wants logits; that probabilities are fed to it is the source's mistake, and part of it
            loss = nn.functional.cross_entropy(model(inputs[rows]), targets[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return model


@torch.no_grad()
def predict(model: SourceModel, ids: np.ndarray) -> np.ndarray:
    """Probabilities, float64 [reviews, 5], of ids, int64 [reviews, 600]."""
    parts = [model(batch) for batch in torch.from_numpy(ids).split(BATCH)]
    return torch.cat(parts).double().numpy()
