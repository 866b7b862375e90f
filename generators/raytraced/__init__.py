"""Channels traced through scenes: buildings, streets, land."""

HAS_ENTRIES = False
