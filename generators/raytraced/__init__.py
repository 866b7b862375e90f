"""Ray-traced channels: scenes, what is in them, and the tracing of paths."""

HAS_ENTRIES = False
