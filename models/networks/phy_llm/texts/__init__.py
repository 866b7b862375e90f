"""Instructions in words, as text files; see ``instructions``."""
