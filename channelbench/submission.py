"""What somebody hands in for a challenge: a folder with a card, and code or results with fits, or both."""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from channelbench.errors import RequestError
from channelbench.manifests import MANIFEST
from channelbench.paths import expanded

if TYPE_CHECKING:
    from channelbench.contracts import Method

__all__ = ["CARD", "Submission"]

CARD = "submission.toml"
CODE = "code"
RESULTS = "results"

Words = Annotated[str, Field(min_length=2, max_length=200)]


class Submission(BaseModel):
    """A folder that was handed in, as its ``submission.toml`` describes it.

    Attributes:
        folder: The folder. ``code/`` below it holds the modules, if they are not installed otherwise, and ``results/``
            what ``run`` wrote with them: cells and fits.
        method: Where the method is found, ``package.module:Class``, with options after a ``+``.
        organisation: Who hands it in.
        authors: Names of people.
        code: Address of the code.
        licence: Of the code.
        weights_licence: Of the weights; empty where nothing is learned.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: Path
    method: Annotated[str, Field(pattern=r"^[\w.]+:[\w.]+(\+\S+)?$")]
    organisation: Words
    authors: Annotated[tuple[Words, ...], Field(min_length=1)]
    code: Annotated[str, Field(pattern=r"^https?://\S+$", max_length=300)]
    licence: Words
    weights_licence: Annotated[str, Field(max_length=200)] = ""

    @classmethod
    def read(cls, place: str | Path) -> Submission:
        """That in a folder.

        Raises:
            RequestError: there is no card, it is no TOML, a field is missing or wrong, or there is neither code nor
                results.
        """
        folder = expanded(place, field="submission").absolute()
        card = folder / CARD
        try:
            content = tomllib.loads(card.read_text(encoding="utf-8"))
        except OSError as error:
            got = f"{card} ({error.strerror})"
            raise RequestError("submission", expected=f"a folder with a {CARD}", got=got) from None
        except ValueError as error:
            got = f"{card} ({' '.join(str(error).split())[:200]})"
            raise RequestError("submission", expected="a card in TOML", got=got) from None
        try:
            found = cls(**{**content, "folder": folder})
        except ValidationError as error:
            wrong = RequestError.from_pydantic(error, cls)
            raise wrong.about(f"{CARD}, {wrong.field}") from None
        if not (folder / CODE).is_dir() and found.results is None:
            raise RequestError("submission", expected=f"{CODE}/ or {RESULTS}/ beside the card", got=str(folder))
        return found

    @property
    def results(self) -> Path | None:
        """The results folder that was handed in, if one was."""
        folder = self.folder / RESULTS
        return folder if (folder / MANIFEST).exists() or (folder / "cells").is_dir() else None

    def load(self) -> type[Method]:
        """The method's class; its ``code/`` is on the module path from then on, of workers too.

        Raises:
            RequestError: there is none, or a module of the same name that is not this one's is there already.
        """
        from channelbench import registry

        code = self.folder / CODE
        if code.is_dir() and str(code) not in sys.path:
            sys.path.insert(0, str(code))
        method: type[Method] = registry.find("methods", self.method)
        module = self.method.partition(":")[0].partition(".")[0]
        file = getattr(sys.modules.get(module), "__file__", None)
        own = (code / module).exists() or (code / f"{module}.py").exists()
        if own and (file is None or code not in Path(file).absolute().parents):
            expected = "modules whose names no other submission or package has"
            raise RequestError("submission", expected=expected, got=f"{module} of {code}, beside {file}")
        return method

    @staticmethod
    def all_of(places: Sequence[str | Path]) -> dict[str, Submission]:
        """Submissions by the name of their method's card.

        Raises:
            RequestError: one of them is none, or two have methods of one name.
        """
        found: dict[str, Submission] = {}
        for place in places:
            submission = Submission.read(place)
            name = submission.load().card.name
            if name in found:
                got = f"{name} in {found[name].folder} and {submission.folder}"
                raise RequestError("submission", expected="methods of different names", got=got)
            found[name] = submission
        return found
