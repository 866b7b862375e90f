"""How much of a score is rounding: one fit, in the arithmetic of several processors and with several seeds.

    python -m channelbench.benchmarks.perf.arithmetic data/uma.zarr --method llm4cp --task pe

Each fit is a process of its own, because libraries choose their instructions once. What a processor lacks cannot be
emulated: its rows then repeat those of what it has.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from channelbench import registry


@dataclass(frozen=True)
class Variant:
    """One arithmetic.

    Attributes:
        title: What it is.
        threads: Of torch.
        half: Whether trunks train in bfloat16.
        environment: What makes libraries choose it.
    """

    title: str
    threads: int
    half: bool
    environment: Mapping[str, str]


AVX2 = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"}
NO_BF16 = {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE"}
SSE = {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41"}

LEARNED = (
    Variant("bfloat16, one thread", 1, True, {}),
    Variant("bfloat16, two threads", 2, True, {}),
    Variant("bfloat16 emulated by AVX-512", 1, True, NO_BF16),
    Variant("bfloat16 emulated by AVX2", 1, True, AVX2),
    Variant("float32, one thread", 1, False, {}),
    Variant("float32, two threads", 2, False, {}),
    Variant("float32, AVX2", 1, False, AVX2),
    Variant("float32, SSE4.1", 1, False, SSE),
)

FORMULAS = tuple(
    Variant(f"OpenBLAS {core}", 1, False, {"OPENBLAS_CORETYPE": core})
    for core in ("SkylakeX", "Haswell", "Sandybridge", "Prescott")
)


def score(data: str, method: str, task: str, seed: int, *, threads: int, half: bool) -> float:
    """The primary score of one fit in this process, at ``quick``."""
    import torch

    from channelbench.benchmarks import scoring
    from channelbench.contracts import FitContext, TaskSplit
    from channelbench.models.networks import precision
    from channelbench.store import open_dataset

    precision.has_bfloat16 = lambda device_type: half  # type: ignore[assignment]
    torch.set_num_threads(threads)
    dataset, wanted = open_dataset(data), registry.create("tasks", task)
    fitted = registry.create("methods", method)
    with scoring.threads_for(type(fitted), threads):
        fitted.fit(
            {task: (TaskSplit(wanted, dataset.view("train")), TaskSplit(wanted, dataset.view("val")))},
            FitContext(seed=seed, data=dataset.key),
        )
        conditions = wanted.default_conditions(dataset.spec)
        found, _ = scoring.score(wanted, dataset, conditions, scoring.answer_of(fitted, task))
    return float(wanted.primary.finalize(found.terms[wanted.primary.card.name].mean(axis=0)))


def _in_a_process(variant: Variant, arguments: argparse.Namespace, seed: int) -> float:
    given = json.dumps([arguments.data, arguments.method, arguments.task, seed, variant.threads, variant.half])
    made = subprocess.run(
        [sys.executable, "-m", __spec__.name, "--one", given],
        env={**os.environ, **variant.environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return float(made.stdout)


def main() -> None:
    """Print a row of each arithmetic, a column of each seed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data", nargs="?")
    parser.add_argument("--method", default="llm4cp")
    parser.add_argument("--task", default="pe")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        *given, threads, half = json.loads(arguments.one)
        print(score(*given, threads=threads, half=half))
        return
    learned = registry.find("methods", arguments.method).learned
    seeds = range(arguments.seeds if learned else 1)
    print("| arithmetic |" + "".join(f" seed {seed} |" for seed in seeds))
    print("|---|" + "---|" * len(seeds))
    for variant in LEARNED if learned else FORMULAS:
        row = (f" {_in_a_process(variant, arguments, seed):{'.4f' if learned else '.10f'}} |" for seed in seeds)
        print(f"| {variant.title} |" + "".join(row), flush=True)


if __name__ == "__main__":
    main()
