"""From propagation paths to channels, whatever has found the paths: ``paths`` in, ``[batch, slots, subcarriers,
antennas]`` out.

``exact.evaluate`` is the sum in float64; ``fast.evaluate_fast`` takes a fraction of the time, by series that stay
within a proven bound of it (``squint``, ``slot_terms``); ``cuda.evaluate_cuda`` is the exact sum on a GPU.
``statistics`` has the delay and angular spreads of paths.
"""

HAS_ENTRIES = False
