"""What a published dataset comes with: a card for people, Croissant metadata for machines, a table of its samples."""

from channelbench.store.cards.writing import write_card

__all__ = ["write_card"]
