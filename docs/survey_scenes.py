"""Which scenes have users in which state: places, squares, refusals and time of 60 samples, or what is said instead.

``python docs/survey_scenes.py`` makes the table of docs/raytracing.md; ``--scene florence --state nlos`` a part of it,
``--set diffraction=true`` the same with other fields. Each row is what ``channelbench generate --source raytraced``
with its words makes; processor time, because a clock on a busy machine says nothing.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

import channelbench as cb
from channelbench.errors import RequestError
from channelbench.generation import generate, make_spec
from channelbench.generators.raytraced.places import places_of
from channelbench.spec import SPLITS, ScenarioSpec, parse_assignments, split_samples

SCENES = {
    "munich": "uma",
    "florence": "uma",
    "etoile": "uma",
    "san_francisco": "uma",
    "simple_street_canyon": "umi",
    "rural": "rma",
}
STATES = ("los", "nlos")
TITLES = ("scene", "state", "with", "squares there are", "squares of the samples", "refused", "processor time (s)")


def squares(spec: ScenarioSpec) -> str:
    """Squares with places, by split."""
    places = places_of(spec)
    return ", ".join(str(len(np.unique(places.unit[places.of[split]]))) for split in SPLITS)


def row(scene: str, state: str, fields: dict[str, Any], samples: int) -> list[str]:
    """One line of the table."""
    words = ", ".join(f"{name}={value}" for name, value in fields.items()) or "–"
    begin = time.process_time()
    try:
        spec = make_spec(
            SCENES[scene],
            source="raytraced",
            state=state,
            sizes=split_samples(samples),
            assignments={"scene": scene} | fields,
        )
        with tempfile.TemporaryDirectory() as folder:
            dataset = cb.open_dataset(generate(spec, Path(folder) / "x.zarr", remember=False))
            taken = time.process_time() - begin
            drops, rejected = ([dataset.array(name, split) for split in SPLITS] for name in ("drop", "rejected"))
    except RequestError as error:
        return [scene, state, words, str(error), "–", "–", f"{time.process_time() - begin:.0f}"]
    refused = sum(map(np.sum, rejected))
    seen = ", ".join(str(len(np.unique(each))) for each in drops)
    return [scene, state, words, squares(spec), seen, f"{refused / (refused + samples):.0%}", f"{taken:.0f}"]


def main() -> None:
    """Print the table, row by row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scene", choices=SCENES, action="append")
    parser.add_argument("--state", choices=(*STATES, "random"), action="append")
    parser.add_argument("--set", dest="fields", action="append", default=[], metavar="FIELD=VALUE")
    parser.add_argument("--samples", type=int, default=60)
    arguments = parser.parse_args()
    for line in (TITLES, ["---"] * len(TITLES)):
        print("| " + " | ".join(line) + " |", flush=True)
    for scene in arguments.scene or SCENES:
        for state in arguments.state or STATES:
            found = row(scene, state, parse_assignments(arguments.fields), arguments.samples)
            print("| " + " | ".join(found) + " |", flush=True)


if __name__ == "__main__":
    main()
