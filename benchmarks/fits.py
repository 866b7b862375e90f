"""The folders of fits: a fit of other code than today's is not gone on with."""

from __future__ import annotations

import shutil
from pathlib import Path

from channelbench.results import write_atomic

__all__ = ["code_of_fit"]


def code_of_fit(folder: Path | None, code: str, *, keep: bool) -> str:
    """Get the folder of a fit ready for a fit by this code, and say by which code the fit there then is.

    What other code has left there is removed, unless it is to be kept. Of fits from before this was noted nobody knows
    by which they are: they stay, and so do the cells that are scored with them nobody's.

    Args:
        folder: ``FitContext.workdir``; ``None`` where nothing is kept.
        code: Digest of the code; empty where it is not known.
        keep: Whether to go on with a fit of other code.

    Returns:
        ``code``, or the kept fit's; empty where that is not known.
    """
    if folder is None or not code:
        return code
    note = folder.with_name(f"{folder.name}.code")
    if folder.is_dir() and any(folder.iterdir()):
        theirs = note.read_text().strip() if note.exists() else ""
        if keep or theirs in ("", code):
            return theirs
        shutil.rmtree(folder)
    write_atomic(note, f"{code}\n".encode())
    return code
