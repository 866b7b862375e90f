"""Datasets that many tests share."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import dask
import psutil
import pytest
from distributed import LocalCluster
from hypothesis import HealthCheck, settings

from channelbench import cluster
from channelbench.store.dataset import ChannelDataset
from channelbench.testing import make_dataset

# Threads that wait for each other would spin, and take the processor from those that work where others work too.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# How long an example takes says how busy the machine is.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")


@pytest.fixture(scope="session")
def few_rays(tmp_path_factory: pytest.TempPathFactory) -> ChannelDataset:
    """Six-ray channels, both bands: 60 train, 20 val, 30 test."""
    return make_dataset(tmp_path_factory.mktemp("few-rays") / "few.zarr")


@pytest.fixture(scope="session", autouse=True)
def heed_ctrl_c() -> None:
    """Commands that tests start stop at Ctrl-C, even where the tests run in the background of a shell, which makes all
    that it starts there ignore it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def eventually() -> Callable[..., None]:
    """``eventually(condition, process)``: wait until it holds, and no longer than the process that is to bring it about
    lives. Where there is none, or it hangs, for ten minutes."""

    def wait(condition: Callable[[], object], process: subprocess.Popen[str] | None = None) -> None:
        limit = time.monotonic() + 600
        while not condition():
            if process is not None and process.poll() is not None and not condition():
                pytest.fail(f"ended with {process.returncode} before: {process.communicate()}")
            assert time.monotonic() < limit, "waited for ten minutes"
            time.sleep(0.02)

    return wait


@pytest.fixture(scope="session")
def members() -> Callable[[int], list[psutil.Process]]:
    """``members(group)``: the processes of a process group that live; one that nobody has buried does not."""

    def living(group: int) -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter():
            with suppress(ProcessLookupError, psutil.NoSuchProcess):
                if os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    return living


@pytest.fixture(scope="module")
def somebodys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    """A cluster that is there before us, as on Slurm or Kubernetes: its workers come back when they die."""
    scratch = tmp_path_factory.mktemp("dask")
    # dask would take a worker for lost that is just coming back when it looks for an earlier loss.
    name = "distributed.deploy.lost-worker-timeout"
    with (
        dask.config.set({name: cluster.SETTINGS[name]}),
        LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            dashboard_address=None,
            scheduler_kwargs=cluster.NO_DASHBOARD,
            local_directory=scratch,
            silence_logs=50,
        ) as there,
    ):
        yield there
