"""Classical methods, trivial floors and reference lines: one file each."""
