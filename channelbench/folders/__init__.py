"""What can be done with results folders besides showing their leaderboard: find a cell, say what it is, compare,
remove."""
