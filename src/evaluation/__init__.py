"""How good predictions are, how sure that is, and why they were made. Nothing here imports PyTorch."""
