"""The finished model: exported, proven equal, and served. Only what export itself calls imports PyTorch."""
