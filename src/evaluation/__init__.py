"""How good predictions are, how certain that is, and which words caused them. Nothing here imports PyTorch."""
