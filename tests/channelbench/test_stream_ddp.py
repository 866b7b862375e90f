"""Two real processes that train together: disjoint halves of equal length, and one state that serves both."""

import json
import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

from channelbench.store.dataset import open_dataset

TRAIN = """
import json, sys
import torch
from torch.nn.parallel import DistributedDataParallel
from channelbench.stream import ChannelStream

path, folder, rank = sys.argv[1:]
torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=int(rank), world_size=2)
stream = ChannelStream(path, variables=["h_sub6", "drop"], batch_size=16)
model = DistributedDataParallel(torch.nn.Linear(2 * 2 * 4 * 8, 1))
optimiser = torch.optim.SGD(model.parameters(), 1e-3)
drops, states = [], []
for epoch in (0, 1):
    stream.set_epoch(epoch)
    drops.append([])
    for batch in stream:
        loss = model(torch.view_as_real(batch["h_sub6"]).flatten(1)).square().mean()
        optimiser.zero_grad()
        loss.backward()  # waits for the other rank: a missing batch there would hang
        optimiser.step()
        drops[-1].append(batch["drop"].tolist())
        if (epoch, len(drops[-1])) == (1, 5):
            states.append(stream.state_dict())
resumed = ChannelStream(path, variables=["drop"], batch_size=16)
resumed.load_state_dict(states[0])
rest = [batch["drop"].tolist() for batch in resumed]
weight = model.module.weight.detach().sum().item()
with open(f"{folder}/{rank}.json", "w") as file:
    json.dump({"drops": drops, "state": states[0], "rest": rest, "weight": weight}, file)
torch.distributed.destroy_process_group()
"""


def test_two_processes_share_each_epoch(small_pieces: Path, tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in ("RANK", "WORLD_SIZE")}
    with ExitStack() as stack:
        processes = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", TRAIN, str(small_pieces), str(tmp_path), rank],
                    env=environment | {"OMP_NUM_THREADS": "1"},
                    stderr=subprocess.PIPE,
                    text=True,
                )
            )
            for rank in "01"
        ]
        for process in processes:
            stack.callback(process.kill)  # whatever happens, the other rank does not wait for this one for ever
        for process in processes:
            _, errors = process.communicate(timeout=600)
            assert process.returncode == 0, errors
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1))
    known = set(open_dataset(small_pieces).array("drop", "train").tolist())
    for mine, theirs in zip(first["drops"], second["drops"], strict=True):
        assert [len(batch) for batch in mine] == [len(batch) for batch in theirs] == [16] * 10 + [10]
        seen = [drop for batch in mine + theirs for drop in batch]
        assert len(seen) == len(set(seen)) == 340 == len(known) - 1
        assert set(seen) < known
    assert first["drops"][0] != first["drops"][1]
    assert first["state"] == second["state"]
    assert first["weight"] == second["weight"]
    for share in (first, second):
        assert share["rest"] == share["drops"][1][5:]
