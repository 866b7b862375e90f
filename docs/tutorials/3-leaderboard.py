# %% [markdown]
# # 3. Reading a leaderboard
#
# What a table of scores says, and what it does not: intervals, places, floors and ceilings, the reachable limit, and
# paired comparisons. The scores are those of LLM4WM's tasks on UMa in line of sight that lie in the repository ([how
# they came about](../reproduction.md)); run this in a checkout.

# %%
import matplotlib.pyplot as plt
import pandas as pd

from channelbench.families import palette

board = pd.read_csv("docs/results/uma-los-standard/leaderboard.csv", low_memory=False)
board = board[(board["conditions"] == "default") & board["primary"] & (board["status"] == "ok")]
board = board.drop_duplicates(["method", "task"])
print(len(board), "scores of", board["method"].nunique(), "rows in", ", ".join(board["task"].unique()))

# %% [markdown]
# ## A score and its interval
#
# CE is channel estimation from every eighth subcarrier, at 10 dB, in NMSE: less is better.

# %%
ce = board[board["task"] == "ce"].set_index("title").sort_values("mean")
ranked = ce[ce["rank_low"].notna()]
columns = ["family", "mean", "mean_low", "mean_high", "skill", "rank_low", "rank_high"]
ranked[columns].round(4).astype({"rank_low": int, "rank_high": int})

# %% [markdown]
# - `mean_low` to `mean_high` holds what other test links and other trainings would change, 95 % of the time. Rows of
#   one training borrow the spread over seeds from rows like them (`seed_spread` says so).
# - `skill` is (floor − score)/(floor − ceiling): 0 for the best trivial answer, 1 for the true channel, whatever the
#   unit.
# - `rank_low` to `rank_high` are the places that a row may have. The first of a column is not "the best method" where
#   its places reach down to 11: that many rows cannot be told apart.
#
# ## Floor, ceiling and the reachable limit
#
# No method has the true channel: what noise leaves is out of reach. How far the best is from what *can* be reached is
# told by references, which know what no contestant may. `lmmse_genie` knows each link's own covariance.

# %%
figure, axes = plt.subplots(figsize=(8, 4.2), layout="constrained")
colours = palette()
unranked = ce[ce["rank_low"].isna() & (ce["mean"] > 0)]
shown = pd.concat([ranked.head(12), unranked]).sort_values("mean")
for place, row in enumerate(shown.to_dict("records")):
    colour = colours.get(row["family"], "#5b6673")
    axes.plot([row["mean_low"], row["mean_high"]], [place, place], color=colour)
    axes.plot(row["mean"], place, "o", color=colour, fillstyle="full" if row["family"] in colours else "none")
axes.set_yticks(range(len(shown)), shown.index)
axes.invert_yaxis()
axes.set(xscale="log", xlabel="NMSE in CE")
plt.show()

# %% [markdown]
# Filled are contestants, hollow what is not ranked. Networks stand together, and *Aligned start* among them: it is
# what all of them correct, with a network that answers 0. Most of their score is the start's, and `gain_over_start`
# is what is left for the network, as a share of the start's error:

# %%
gains = ranked[ranked["gain_over_start"].notna()]
(100 * gains[["gain_over_start", "gain_low", "gain_high"]]).round(1).add_suffix(", %").head(8)

# %% [markdown]
# ## Is one better than the other?
#
# Both were scored on the same links with the same noise, so their *difference* is known far better than either score.
# A row's interval overlapping another's shows nothing; the paired interval of the difference does.

# %%
# !channelbench compare sparse transformer --results docs/results/uma-los-standard

# %% [markdown]
# ## Does pretraining help?
#
# A language model stands beside its controls: the same network on random weights (`+random`) and on none (`+none`).

# %%
# !channelbench compare llm4wm llm4wm+random --results docs/results/uma-los-standard

# %% [markdown]
# An interval that holds 0 shows no difference. That is no proof of equality; the page of the leaderboard says beside
# each which effect would have been seen.
#
# Where one leaves out 0, remember how many were looked at: of twenty intervals of 95 % one misses by chance.
# `compare` answers the one question that was asked. The page corrects for all that it shows (Holm) and pools the
# spread over seeds, and there [no difference is shown in any
# task](../reproduction.md#table-iv-at-the-standard-preset). How ranks hold for a whole column at once is [in the
# protocol](../protocol.md#how-ranks-hold-for-a-whole-column).
