"""The tables of docs/speed.md, from what ``pytest benchmarks/perf --benchmark-json FILE`` has stored.

``python benchmarks/perf/table.py FILE…``
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Found = dict[str, dict[str, Any]]


def generation(found: Found) -> Iterator[str]:
    """Markdown lines of ``bench_generate.py``."""
    cases = {case: info for case, info in found.items() if "times_stock" in info}
    if cases:
        yield "| samples per second | ours, written | stock Sionna, in memory | ratio | Zarr alone | share | MB/s |"
        yield "|---|---|---|---|---|---|---|"
    for case, info in cases.items():
        rates = info["samples_per_second"]
        stock = max(rate for name, rate in rates.items() if name.startswith("stock"))
        yield (
            f"| {case} | {rates['ours']:.0f} | {stock:.0f} | {info['times_stock']}× | {rates['zarr']:.0f} "
            f"| {info['share_of_zarr']:.2f} | {info['megabytes_per_second']} |"
        )
    if start := found.get("start"):
        first = start["first_block_s"]
        yield (
            f"\nStart: the first block is on the disk after {first['1']} s with one worker, {first['2']} s with two; "
            f"{first['first run']} s on the very first run, which compiles the loops."
        )
    if roof := found.get("roofline"):
        yield (
            f"\nOne thread multiplies matrices at {roof['gemm_gflops']} GFLOP/s; the disk takes "
            f"{roof['write_megabytes_per_second']} MB/s."
        )


def scale(found: Found) -> Iterator[str]:
    """Markdown lines of ``bench_scale.py``."""
    for case, info in found.items():
        if case.startswith("memory"):
            peaks = " and ".join(f"{peak} GB for {samples} samples" for samples, peak in info["peak_gb"].items())
            yield f"- Peak memory of a worker, {case.removeprefix('memory ')}: {peaks}, {info['growth']}×."
    for case, title in (("sizes", "One worker, datasets of"), ("cores", "Workers:"), ("files", "Files of")):
        if of_case := found.get(case):
            rates = ", ".join(f"{key} at {rate} samples/s" for key, rate in of_case["samples_per_second"].items())
            speedup = f", {of_case['speedup']}×" if "speedup" in of_case else ""
            yield f"- {title} {rates}{speedup}."
    if of_verify := found.get("verify"):
        seconds = of_verify["seconds"]
        ratio = of_verify["of_one_read"]
        yield f"- `verify` takes {seconds['verify']} s, one read of the files {seconds['read']} s: {ratio}×."


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    runs = [json.loads(Path(file).read_text())["benchmarks"] for file in sys.argv[1:]]
    infos = [one["extra_info"] for run in runs for one in run]
    cases = {info["case"]: info for info in infos if "case" in info}
    print("\n".join([*generation(cases), "", *scale(cases)]))
