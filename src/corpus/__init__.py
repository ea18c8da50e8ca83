"""The default corpus and the process that generates it. Nothing here reads the user's tables."""
