"""What starting costs: imports that are put off."""

from __future__ import annotations

import subprocess
import sys

import pytest

CODE = """
import sys
from channelbench.generators.tr38901.loading import load_sionna
import torch
before = torch.compile, torch.compiler.disable
load_sionna()
assert (torch.compile, torch.compiler.disable) == before
print("torch._dynamo.symbolic_convert" in sys.modules, "matplotlib.pyplot" in sys.modules)
import matplotlib.pyplot
from sionna.phy.utils import plotting
assert plotting.plt.subplots is matplotlib.pyplot.subplots
"""


def test_sionna_is_loaded_without_the_compiler_and_pyplot() -> None:
    run = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["False", "False"]


def test_what_was_decorated_is_compiled_when_it_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    from channelbench.generators.tr38901.loading import _later

    compiled: list[tuple[str, dict[str, bool]]] = []

    def compiler(function, **options):
        compiled.append((function.__name__, options))
        return lambda *arguments: -function(*arguments)

    class Receiver:
        @_later(compiler)(fullgraph=True)
        def double(self, x: int) -> int:
            return 2 * x

    assert not compiled
    assert [Receiver().double(x) for x in (1, 2)] == [-2, -4]
    assert compiled == [("double", {"fullgraph": True})]
    assert Receiver.double.__name__ == "double"
