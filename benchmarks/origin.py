"""Where a cell comes from: the code that made it, the command that asked for it, the commit of the checkout."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from channelbench import registry
from channelbench.code import code_of
from channelbench.contracts import Method, Task
from channelbench.submission import Submission

__all__ = ["Origin", "command_line", "commit_of"]

GIT_S = 20.0
"""How long git may take for an answer."""


@dataclass(frozen=True)
class Origin:
    """What the cells of one fit have in common.

    Attributes:
        code: Digest of the code, see ``channelbench.code``; empty where it cannot be read.
        method: The name that the method is found by.
        command: The command line.
        commits: By package, see ``commit_of``.
        suite: Name of the suite that was asked for.
        entrant: Who enters the method, by fields of a cell.
    """

    code: str = ""
    method: str = ""
    command: str = ""
    commits: Mapping[str, str] = field(default_factory=dict)
    suite: str = ""
    entrant: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        method: type[Method] | None,
        tasks: Sequence[Task],
        *,
        found_at: str,
        suite: str,
        command: str,
        submission: Submission | None = None,
    ) -> Origin:
        """Of a method fitted to tasks here and now; of the ceiling without a method."""
        kinds: list[type] = [type(task) for task in tasks] if method is None else [method, *map(type, tasks)]
        packages = dict.fromkeys(["channelbench", *(kind.__module__.partition(".")[0] for kind in kinds)])
        commits = {name: commit for name in packages if (commit := commit_of(name))}
        return cls(code_of(method, tasks), found_at, command, commits, suite, _entrant(method, submission))

    def fields(self, task: Task, code: str) -> dict[str, Any]:
        """What a cell of ``task`` says of it.

        Args:
            task: One of the fit's.
            code: Of the fit; not ours where an earlier fit is kept.
        """
        return {
            "suite": self.suite,
            "code_digest": code,
            "found_at": {"method": self.method, "task": registry.address("tasks", type(task))},
            "command": self.command,
            "commits": self.commits,
            **self.entrant,
        }


def _entrant(method: type[Method] | None, submission: Submission | None) -> dict[str, str]:
    """Who enters a method: as it was handed in, else as its card says."""
    who = submission if submission is not None or method is None else method.card
    if who is None:
        return {}
    return {
        "organisation": who.organisation,
        "code_address": who.code,
        "weights_licence": who.weights_licence,
    }


def command_line() -> str:
    """The command line of this process, as a shell takes it; without the folder of the program."""
    program, *arguments = sys.argv or [""]
    return shlex.join([Path(program).name, *arguments])


@cache
def commit_of(package: str) -> str:
    """The git commit that an imported package is checked out at, with ``-dirty`` where one of the checkout's Python
    files differs from it; empty where the package is in no checkout."""
    module = sys.modules.get(package)
    places = [getattr(module, "__file__", None), *getattr(module, "__path__", ())]
    file = next((Path(place) for place in places if place), None)
    if file is None or shutil.which("git") is None:
        return ""
    folder = file.parent if file.suffix else file
    if _git(folder, "ls-files", "--error-unmatch", str(file)) is None:  # a checkout of something else
        return ""
    commit = _git(folder, "rev-parse", "HEAD")
    changed = _git(folder, "status", "--porcelain", "--untracked-files=no", "--", ":(top)*.py")
    return "" if not commit else f"{commit}-dirty" if changed else commit


def _git(folder: Path, *arguments: str) -> str | None:
    """What git answers; ``None`` where it refuses."""
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=GIT_S, check=False
        )
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
