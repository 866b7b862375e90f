"""Instructions in words: ``[Task Identifier] description <Instruction> …`` (multi-task PHY LLM, Eq. 13).

The texts lie in ``texts/``, a long and a short one for each kind of problem, with the numbers of the observation as
fields. A text is tokenised and embedded by the language model itself, and nothing of it is trained.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import torch
from torch import nn

from channelbench.models.networks.words import Words

__all__ = ["KINDS", "TEXTS_SHA256", "Instruction", "Prompts", "template", "texts_digest"]

KINDS = ("sum_rate", "min_rate", "detection", "prediction")
LENGTHS = ("long", "short")

TEXTS_SHA256 = "5de83eabe8690f0348c206777602799881fc913608e374b2d6179de936217039"
"""Of all texts. They decide scores as code does, and by this line whoever changes them changes code."""

MOST_USERS = 64
"""Groups of more users are told that they have so many."""


@dataclass(frozen=True, kw_only=True)
class Instruction:
    """What a problem is called, and its numbers.

    Attributes:
        kind: Of ``KINDS``.
        fields: What the text says besides the number of users.
    """

    kind: str
    fields: Mapping[str, int]

    def text(self, length: str, users: int) -> str:
        """In words."""
        return template(self.kind, length).format(**self.fields, users=users)


@cache
def template(kind: str, length: str) -> str:
    """A text with its fields."""
    return (files(__package__) / "texts" / f"{kind}.{length}.txt").read_text(encoding="utf-8").strip()


def texts_digest() -> str:
    """SHA-256 of all texts, hexadecimal."""
    texts = [template(kind, length) for kind in KINDS for length in LENGTHS]
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()


class Prompts(nn.Module):
    """The embeddings of the instructions of several tasks, for any number of users. Nothing in it is a parameter.

    Args:
        instructions: By task.
        words: Of the language model.
        most: Tokens of a prompt at most: where the long text has more, the short one is taken, as far as it goes.
    """

    table: torch.Tensor

    def __init__(self, instructions: Mapping[str, Instruction], words: Words, most: int) -> None:
        super().__init__()
        self.instructions, self.most, self.description = dict(instructions), most, words.description
        tokens = {task: [self._tokens(task, users, words) for users in range(MOST_USERS + 1)] for task in instructions}
        used = sorted({token for of_task in tokens.values() for prompt in of_task for token in prompt})
        place = {token: row for row, token in enumerate(used)}
        self.rows = {
            task: [[place[token] for token in prompt] for prompt in of_task] for task, of_task in tokens.items()
        }
        self.register_buffer("table", words.table[torch.tensor(used, dtype=torch.long)], persistent=False)

    def forward(self, task: str, users: int = 0) -> torch.Tensor:
        """``[tokens, width]`` for groups of so many users; 0 where there are none."""
        return self.table[torch.tensor(self.rows[task][min(users, MOST_USERS)], device=self.table.device)]

    def _tokens(self, task: str, users: int, words: Words) -> list[int]:
        found = words.tokens(self.instructions[task].text("long", users))
        if len(found) > self.most:
            found = words.tokens(self.instructions[task].text("short", users))
        return found[: self.most]
