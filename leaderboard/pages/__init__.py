"""The static site of a leaderboard: a folder that opens from disk, without a server or a network."""
