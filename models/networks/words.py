"""The vocabulary of a language model: from text to the embeddings that its layers were trained on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

__all__ = ["TOKENIZER_FILES", "Words", "words_of"]

TOKENIZER_FILES = ("tokenizer*", "vocab*", "merges.txt", "special_tokens_map.json")
"""What a folder may hold of a tokenizer: text, and no pickles."""

NEEDED = ("tokenizer.json", "tokenizer.model", "vocab.txt", "vocab.json")
"""One of them makes a tokenizer."""


@dataclass(frozen=True)
class Words:
    """A tokenizer and the input embedding.

    Attributes:
        table: The embedding of each token, ``[vocabulary, width]``, no parameter of anything.
        encode: Numbers of the tokens of a text, without marks at its ends.
        description: Which tokens these are.
    """

    table: torch.Tensor
    encode: Callable[[str], list[int]]
    description: str

    def tokens(self, text: str) -> list[int]:
        """Numbers of the tokens of a text, within the table."""
        return [token % len(self.table) for token in self.encode(text)]


def words_of(model: Any, folder: Path | None) -> Words | None:
    """The vocabulary of a model of transformers whose tokenizer lies in ``folder``.

    Without a tokenizer the bytes of a text are its tokens, which serves networks with random weights, to whom no token
    means anything. ``None`` where the model has no table of tokens.
    """
    embedding = model.get_input_embeddings()
    if embedding is None:
        return None
    table = embedding.weight.detach().float().clone()
    if folder is None or not any((folder / name).exists() for name in NEEDED):
        return Words(table, lambda text: list(text.encode()), "bytes as tokens")
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    return Words(table, lambda text: tokenizer.encode(text, add_special_tokens=False), "tokens of its own tokenizer")
