"""How far apart the traced channels of two kinds of processor are, measured on one machine that has AVX-512.

``python docs/compare_processors.py --scenario umi --samples 60`` traces the same dataset twice in processes of their
own: for this machine, and as a processor with AVX2 and no more would. There Dr.Jit compiles for Haswell in vectors of
8, Embree, numpy, numba, OpenBLAS and PyTorch are held to AVX2. ``--set FIELD=VALUE`` and ``--state`` are as in
``generate``; ``--processor znver3`` is another name for LLVM. Holding Embree back takes a C compiler, ``cc``;
``--no-embree`` leaves it out.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

SHIM = r"""
#include <dlfcn.h>
#include <stdio.h>
void *_ZN7mitsuba12rtcNewDeviceEPKc(const char *config) {
    void *(*next)(const char *) = dlsym(dlopen("libembree3.so", RTLD_NOLOAD | RTLD_NOW), __func__);
    char text[500];
    snprintf(text, sizeof text, "%s,isa=avx2", config ? config : "");
    return next(text);
}
"""
"""Embree takes its instruction set from what Mitsuba tells it, which nothing but this can change."""

NO_AVX512 = {
    "NPY_DISABLE_CPU_FEATURES": "AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL",
    "NUMBA_CPU_NAME": "haswell",
    "OPENBLAS_CORETYPE": "Haswell",
    "ATEN_CPU_CAPABILITY": "avx2",
}


@dataclass(frozen=True)
class Traced:
    """A dataset, and how many paths each of its links has, ``[links]``."""

    path: Path
    paths: NDArray[np.int64]


def compile_for(processor: str, width: int) -> None:
    """Let Dr.Jit compile for another processor in this process, and datasets say so.

    Args:
        processor: As LLVM calls it. It must have FMA, and nothing that this machine has not.
        width: Of vectors, in float32.
    """
    from channelbench.generators.raytraced import llvm

    other = replace(llvm.usable(), processor=processor)
    import drjit
    import mitsuba

    mitsuba.set_variant("llvm_ad_mono_polarized")
    core = ctypes.CDLL(str(Path(drjit.__file__).parent / "libdrjit-core.so"))
    set_target = core["_Z19jit_llvm_set_targetPKcS0_j"]
    set_target.argtypes, set_target.restype = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_uint32], None
    set_target(processor.encode(), b"", width)
    llvm.usable = lambda: other  # type: ignore[assignment]


def trace(arguments: argparse.Namespace) -> None:
    """The dataset of these arguments at ``arguments.out``, and its numbers of paths beside it."""
    if arguments.processor:
        compile_for(arguments.processor, 8)
    from channelbench.generation import generate, make_spec
    from channelbench.generators.raytraced.users import users_of
    from channelbench.spec import SPLITS, parse_assignments, split_samples

    spec = make_spec(
        arguments.scenario,
        source="raytraced",
        state=arguments.state,
        sizes=split_samples(arguments.samples),
        assignments=parse_assignments(arguments.fields),
    )
    generate(spec, arguments.out, remember=False)
    users = [user for split in SPLITS for user in users_of(spec, split, 0, 0, min(200, spec.sizes.of(split)))]
    np.save(f"{arguments.out}.npy", [len(user.rays.receiver) for user in users])


def traced(out: Path, words: list[str], processor: str = "", embree: bool = True) -> Traced:
    """What ``trace`` makes in a process of its own."""
    environment = dict(os.environ)
    if processor:
        environment |= NO_AVX512
        if embree:
            (source := out.with_suffix(".c")).write_text("#define _GNU_SOURCE\n" + SHIM)
            library = source.with_suffix(".so")
            subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
            environment["LD_PRELOAD"] = str(library)
    command = [sys.executable, __file__, *words, "--out", str(out), "--processor", processor]
    subprocess.run(command, env=environment, check=True)
    return Traced(out, np.load(f"{out}.npy"))


def differences(first: Traced, second: Traced) -> list[str]:
    """Lines that say how far apart two datasets of one spec are, and what ``verify`` says here of the second."""
    import channelbench as cb
    from channelbench.spec import SPLITS
    from channelbench.store.verify import verify

    one, two = cb.open_dataset(first.path), cb.open_dataset(second.path)

    def both(name: str) -> list[NDArray[np.complex128 | np.float64]]:
        return [np.concatenate([each.array(name, split) for split in SPLITS]) for each in (one, two)]

    there, again = both("ue_position")
    same = np.all(there == again, axis=1)
    lines = [
        f"processors: {one.versions['processor']} | {two.versions['processor']}, LLVM {one.versions['LLVM']}",
        f"bytes equal: {'yes' if one.digest == two.digest else 'no'}",
        f"links: {len(same)}, with another user: {np.sum(~same)}",
        f"with another number of paths: {np.sum((first.paths != second.paths)[same[: len(first.paths)]])}",
    ]
    for band in one.spec.bands:
        h, other = (each[same].reshape(same.sum(), -1).astype(np.complex128) for each in both(f"h_{band}"))
        off = np.linalg.norm(other - h, axis=1) / np.linalg.norm(h, axis=1)
        lines.append(f"{band}: relative difference of H {np.median(off):.2g} in the median, {off.max():.2g} at most")
    findings = verify(second.path)
    wrong = [f"{finding.check}: {problem}" for finding in findings for problem in finding.problems]
    notes = next(finding.notes for finding in findings if finding.check == "paths")
    return [*lines, f"verify: {'; '.join(wrong) or 'nothing wrong'}; paths {'; '.join(notes) or 'compared'}"]


def main() -> None:
    """Trace twice and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenario", default="umi")
    parser.add_argument("--state", default="los")
    parser.add_argument("--samples", type=int, default=60)
    parser.add_argument("--set", dest="fields", action="append", default=[], metavar="FIELD=VALUE")
    parser.add_argument("--processor", default="haswell")
    parser.add_argument("--no-embree", dest="embree", action="store_false")
    parser.add_argument("--out", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.out:
        trace(arguments)
        return
    words = ["--scenario", arguments.scenario, "--state", arguments.state, "--samples", str(arguments.samples)]
    words += [word for field in arguments.fields for word in ("--set", field)]
    with tempfile.TemporaryDirectory() as folder:
        here = traced(Path(folder) / "here.zarr", words)
        there = traced(Path(folder) / "there.zarr", words, arguments.processor, arguments.embree)
        print("\n".join(differences(here, there)))


if __name__ == "__main__":
    main()
