# %% [markdown]
# # 1. A dataset, made and looked at
#
# Channels of 150 users of a street canyon (UMi, line of sight) in two bands, opened with xarray and drawn. This page
# is a notebook that ran when the site was built.

# %%
import matplotlib.pyplot as plt
import numpy as np
import xarray as xr

import channelbench as cb

# %% [markdown]
# ## Make it
#
# A *spec* says what a dataset is to be, and every field of it can be set. Spec and seed decide every byte: who makes
# the same ones has the same digest.

# %%
spec = cb.make_spec("umi", assignments={"sizes.train": 100, "sizes.val": 20, "sizes.test": 30})
path = cb.generate(spec, "data/umi.zarr", seed=0)
dataset = cb.open_dataset(path)
print(dataset.digest)

# %% [markdown]
# From a shell the same is `channelbench generate --scenario umi --samples 150 --out data/umi.zarr`. Called again,
# either finishes what was interrupted, and leaves alone what is complete.
#
# ## Open it
#
# It is one Zarr group, so nothing of channelbench is needed to read it. All variables have units.

# %%
samples = xr.open_zarr(path)
print(samples[["h_sub6", "h_mmwave", "path_gain_db_sub6", "delay_spread_s_sub6", "ue_position", "split"]])
print(samples["delay_spread_s_sub6"].attrs)

# %% [markdown]
# `h_sub6` has small-scale coefficients of unit mean power over the ensemble, and what a link loses on the way stands
# apart in `path_gain_db_sub6`. A received channel is the product:

# %%
h = samples["h_sub6"].values
gain_db = samples["path_gain_db_sub6"].values
received = h * 10 ** (gain_db / 20)[:, None, None, None]
print("mean power of h", np.mean(np.abs(h) ** 2).round(3))
print("mean received power", (10 * np.log10(np.mean(np.abs(received) ** 2))).round(1), "dB of what was sent")

# %% [markdown]
# ## Look at it
#
# One antenna's channel fades over frequency, by the delays of its paths, and over time, by the speed of its user:

# %%
link = 3
magnitude_db = 20 * np.log10(np.abs(h[link, :, :, 0]))
slot_ms = 1e3 * samples["slot"].values
offset_mhz = (samples["subcarrier_sub6"].values - spec.sub6.carrier_hz) / 1e6
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
drawn = left.pcolormesh(offset_mhz, slot_ms, magnitude_db, shading="nearest")
figure.colorbar(drawn, ax=left, label="|h|, dB")
left.set(xlabel="offset from 1.9 GHz, MHz", ylabel="time, ms", title=f"link {link}, antenna 0")
place = samples["ue_position"].values
shown = right.scatter(place[:, 0], place[:, 1], c=gain_db, s=14)
right.plot(0, 0, "k^", label="base station")
figure.colorbar(shown, ax=right, label="path gain, dB")
right.set(xlabel="x, m", ylabel="y, m", title="users", aspect="equal")
right.legend()
plt.show()

# %% [markdown]
# Beams and delays show what the paths are: a Fourier transform over antennas and subcarriers turns each path into a
# spot.

# %%
taps = np.fft.ifft(h[link, 0], axis=0)
beams = np.fft.fftshift(np.fft.fft(taps, n=64, axis=1), axes=1)
figure, axes = plt.subplots(figsize=(6, 3.2), layout="constrained")
delay_us = 1e6 * np.arange(24) / spec.sub6.bandwidth_hz
sine = np.arange(-32, 32) / 32
axes.pcolormesh(sine, delay_us, 20 * np.log10(np.abs(beams[:24]) + 1e-3), shading="nearest")
axes.set(xlabel="sine of the angle", ylabel="delay, µs", title=f"link {link}")
plt.show()

# %% [markdown]
# ## Trust it
#
# `verify` reads every byte again, compares digests, sums paths anew, and proves that no user stands in two splits.

# %%
for finding in cb.verify(path):
    print("yes" if finding.ok else "NO ", finding.question)

# %% [markdown]
# Next: [a network of one's own on this dataset](2-own-network.py). All variables:
# [datasets](../dataset.md#variables).
