"""The speed table of docs/speed.md, from a file of ``pytest benchmarks/perf --benchmark-json FILE``.

``python benchmarks/perf/table.py FILE``
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def rows(benchmarks: list[dict[str, Any]]) -> list[str]:
    """Markdown lines."""
    found = {info["case"]: info for info in (one["extra_info"] for one in benchmarks) if "case" in info}
    lines = [
        "| | ours, written | stock Sionna, in memory | ratio | Zarr alone | share | MB/s |",
        "|---|---|---|---|---|---|---|",
    ]
    for case, info in found.items():
        if "times_stock" not in info:
            continue
        rates = info["samples_per_second"]
        stock = max(rate for name, rate in rates.items() if name.startswith("stock"))
        lines.append(
            f"| {case} | {rates['ours']:.0f} | {stock:.0f} | {info['times_stock']}× | {rates['zarr']:.0f} "
            f"| {info['share_of_zarr']:.2f} | {info['megabytes_per_second']} |"
        )
    if start := found.get("start"):
        first = start["first_block_s"]
        lines += ["", f"First block on disk after {first['1']} s with one worker, {first['2']} s with two."]
    if roof := found.get("roofline"):
        lines.append(
            f"One thread multiplies matrices at {roof['gemm_gflops']} GFLOP/s; "
            f"the disk takes {roof['write_megabytes_per_second']} MB/s."
        )
    return lines


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    print("\n".join(rows(json.loads(Path(sys.argv[1]).read_text())["benchmarks"])))
