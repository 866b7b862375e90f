"""Networks and the training loop. Torch is imported here, so that the registry passes this package by."""

HAS_ENTRIES = False
