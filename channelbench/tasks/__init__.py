"""Tasks: how observations and targets are cut from a dataset. See docs/protocol.md."""
