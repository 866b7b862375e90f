"""How much memory a fit and its predictions take."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["PeakMemory"]


class PeakMemory:
    """Peak growth of this process's resident memory, in MB, sampled every 20 ms; on CUDA the allocator's peak."""

    def __init__(self, device: str) -> None:
        self.device, self.megabytes = device, 0.0
        self._paused = False

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Add to the peak what happens inside."""
        if self.device.startswith("cuda"):
            import torch

            torch.cuda.reset_peak_memory_stats()
            yield
            self._add_cuda()
            return
        import psutil

        process, stop = psutil.Process(), threading.Event()
        start = process.memory_info().rss

        def sample() -> None:
            while not stop.wait(0.02):
                if self._paused:
                    continue
                self.megabytes = max(self.megabytes, (process.memory_info().rss - start) / 2**20)

        thread = threading.Thread(target=sample, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Within ``watch``, leave out what happens inside."""
        if self.device.startswith("cuda"):
            import torch

            self._add_cuda()
            yield
            torch.cuda.reset_peak_memory_stats()
            return
        self._paused = True
        try:
            yield
        finally:
            self._paused = False

    def _add_cuda(self) -> None:
        import torch

        self.megabytes = max(self.megabytes, torch.cuda.max_memory_allocated() / 2**20)
