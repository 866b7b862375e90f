"""Ray-traced channels: scenes, what is in them, and the tracing of paths.

``source`` has what can be set, ``scenarios`` the generators; ``worlds`` loads scenes, ``places`` says where users may
stand, ``users`` finds them, ``tracing`` traces their paths in all bands at once, and ``links`` makes of paths what
``channelbench.generators.evaluate`` sums. ``llvm`` is asked before any of this touches the ray tracer.
"""
