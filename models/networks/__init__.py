"""Networks and the training loop; torch is imported here, so nothing scans this package."""
