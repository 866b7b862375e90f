"""From propagation paths to channels."""
