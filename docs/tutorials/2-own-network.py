# %% [markdown]
# # 2. A network of one's own
#
# Ten lines make a torch module a method: the training loop, the budget, seeds, checkpoints, intervals and the
# leaderboard are there already. It predicts the last four slots of a channel from the sixteen before (task CP),
# beside a Wiener filter.

# %%
import pandas as pd
import torch
from torch import nn

import channelbench as cb

# %% [markdown]
# The dataset is that of [the first tutorial](1-dataset.py). It is complete, so that this costs nothing where it is
# there.

# %%
spec = cb.make_spec("umi", assignments={"sizes.train": 100, "sizes.val": 20, "sizes.test": 30})
path = cb.generate(spec, "data/umi.zarr", seed=0)


# %% [markdown]
# ## The method
#
# `build` makes the untrained module from an observation of one sample, `answer` says how it is asked. Here: the last
# slot, and on it a learned complex combination of all that are observed.


# %%
class MyNet(cb.TorchMethod):
    """The last slot, and on it a learned complex combination of all that are observed."""

    def build(self, example):
        return nn.Linear(example.h.shape[1], example.answer_shape[0], dtype=torch.complex64)

    def answer(self, network, h, noise_var):
        return h[:, -1:] + network(h.movedim(1, -1)).movedim(-1, 1)


# %% [markdown]
# ## Run it
#
# Names and classes mix. Floors (trivial answers) and the ceiling are always added. Two seeds are two trainings, and
# training draws new noise in each epoch. `conditions=[{}]` is the default condition alone, without the paper's.

# %%
asked = {"methods": [MyNet, "wiener"], "tasks": ["cp"], "conditions": [{}], "seeds": 2}
outcome = cb.run(data=path, out="results", **asked)
print(len(outcome.written), "cells written,", len(outcome.failed), "failed")

# %% [markdown]
# ## Read it
#
# `report` writes a table and a page, both from the cells alone.

# %%
table, page = cb.report("results")
board = pd.read_csv(table)
primary = board[board["primary"]].drop_duplicates("method")
columns = ["title", "family", "mean", "mean_low", "mean_high", "skill", "rank_low", "rank_high"]
primary[columns].sort_values("mean").round(3).set_index("title")

# %% [markdown]
# `mean` is the NMSE over both trainings, and `mean_low` to `mean_high` its 95 % interval over test links and
# trainings. A skill of 0 is the best trivial answer's, 1 that of the true channel. `rank_low` to `rank_high` are the
# places that a row may have. On 30 test links and 120 steps of training nothing here is a result: it shows that
# everything runs.
#
# Whether two methods differ is a question to their paired difference and not to two intervals, which both move with
# the same links and the same noise:

# %%
# !channelbench compare my_net wiener --results results

# %% [markdown]
# The loss of each training is in its cell:

# %%
import matplotlib.pyplot as plt

figure, axes = plt.subplots(figsize=(6, 3), layout="constrained")
for cell in outcome.written:
    if cell.method == "my_net":
        axes.plot(*zip(*cell.training.losses.items(), strict=True), label=f"seed {cell.seed}")
axes.set(xlabel="step", ylabel="training loss (NMSE)")
axes.legend()
plt.show()

# %% [markdown]
# Next: [reading a leaderboard](3-leaderboard.py). Losses of your own, statistics, embeddings and debugging: [a
# network of your own](../own-network.md).
