"""Whatever libraries raise on damaged files, in one line."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

from channelbench.errors import RequestError

__all__ = ["in_one_line"]

Method = TypeVar("Method", bound=Callable[..., Any])


def in_one_line(method: Method) -> Method:
    """A reader's method, ``__init__`` included, whose exceptions are a ``RequestError``: of a file whose bytes have
    changed, HDF5 and MATLAB's readers raise everything that there is, from any of their functions."""

    @wraps(method)
    def call(self: Any, *args: Any) -> Any:
        try:
            return method(self, *args)
        except RequestError:
            raise
        except Exception as error:
            path = getattr(self, "path", None) or args[0]
            expected, got = "a file that can be read", f"{type(error).__name__}: {error}"
            raise RequestError(str(path), expected=expected, got=got) from None

    return cast(Method, call)
