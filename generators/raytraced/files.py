"""Scene files of users: what a spec holds of them, and where they are on this machine."""

from __future__ import annotations

import hashlib
import os
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from channelbench.errors import RequestError
from channelbench.paths import expanded

__all__ = ["file_of", "is_recorded", "record_file"]

FIELD = "scene"

_RECORD = re.compile(r"[^/@\s]+@[0-9a-f]{16}")


def is_recorded(scene: str) -> bool:
    """Whether this is ``name@digest``, as specs hold a file."""
    return _RECORD.fullmatch(scene) is not None


def record_file(path: str) -> str:
    """``name@digest`` of a scene file; processes that are started from here know from now on where it is.

    The digest is of the file and of the meshes and textures that it names.

    Raises:
        RequestError: it cannot be read, is no scene, or names files that are not there.
    """
    from channelbench.generators.raytraced.sites import SITES

    file = expanded(path, field=FIELD)
    if not file.is_file():
        raise RequestError(
            FIELD, expected="a scene that comes along, or a file", got=f"{path} (not there)", choices=SITES
        )
    digest = _digest(file)[:16]
    os.environ[_variable(digest)] = str(file.absolute())
    name = re.sub(r"[@\s]", "_", file.stem)
    return f"{name}@{digest}"


def file_of(scene: str) -> Path:
    """Where the file of ``name@digest`` is.

    Raises:
        RequestError: nobody has named it here, or it has changed since.
    """
    digest = scene.rpartition("@")[2]
    known = os.environ.get(_variable(digest), "")
    if not known or not Path(known).is_file():
        raise RequestError(FIELD, expected="its file, as --scene FILE.xml", got=f"{scene} (not known on this machine)")
    if _digest(Path(known))[:16] != digest:
        raise RequestError(FIELD, expected=f"the file that {scene} was", got=f"{known} (changed)")
    return Path(known)


def _variable(digest: str) -> str:
    return f"CHANNELBENCH_SCENE_{digest.upper()}"


def _digest(file: Path) -> str:
    try:
        content = file.read_bytes()
        root = ElementTree.fromstring(content)
    except (OSError, ElementTree.ParseError, ValueError) as error:
        reason = f"{file} ({' '.join(str(error).split())})"
        raise RequestError(FIELD, expected="a Mitsuba scene in XML", got=reason) from None
    if root.tag != "scene":
        raise RequestError(FIELD, expected="a Mitsuba scene in XML", got=f"{file} (its root is {root.tag})")
    digest = hashlib.sha256(content)
    for element in root.iter("string"):
        if element.get("name") != "filename":
            continue
        named = file.parent / str(element.get("value"))
        try:
            digest.update(hashlib.sha256(named.read_bytes()).digest())
        except OSError as error:
            got = f"{file}, which names {element.get('value')} ({error.strerror})"
            raise RequestError(FIELD, expected="a scene whose files are there", got=got) from None
    return digest.hexdigest()
