"""What a command is called with and where, before it reads any of it."""

from __future__ import annotations

import os
import sys

from channelbench.errors import RequestError, is_text

__all__ = ["check_surroundings"]


def check_surroundings() -> None:
    """The words that we were called with, and the folder.

    Raises:
        RequestError: words that are no text, which nothing could print or store; a folder that is gone.
    """
    for word in sys.argv[1:]:
        if not is_text(word):
            raise RequestError("arguments", expected="text in UTF-8", got=word)
    try:
        folder = os.getcwd()
    except FileNotFoundError:
        raise RequestError("the working folder", expected="one that exists", got="one that has been removed") from None
    if not is_text(folder):
        raise RequestError("the working folder", expected="a name in UTF-8", got=folder)
    # A method in the folder that we are called from can be named; last, so that it shadows nothing.
    sys.path.append(folder)
