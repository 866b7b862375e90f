"""From propagation paths to channels, whatever has found the paths: ``paths`` in, ``[batch, slots, subcarriers,
antennas]`` out.

``exact.evaluate`` is the sum in float64; ``fast.evaluate_fast`` stays within 1e-4 of it and takes a fraction of the
time; ``cuda.evaluate_cuda`` is the exact sum on a GPU. ``statistics`` has the delay and angular spreads of paths.
"""

HAS_ENTRIES = False
