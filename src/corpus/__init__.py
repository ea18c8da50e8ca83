"""The default corpus and the process that generates it. Nothing here reads a table of yours."""
