"""Channels that were made or measured elsewhere: readers and writers of other people's formats, and the source that
makes a dataset of what a reader gives.

``contract`` is what a reader and a writer are; ``formats`` finds those that there are.
"""
