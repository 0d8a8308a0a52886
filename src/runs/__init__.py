"""The folder that a run leaves: written and read in one room. Knows nothing of PyTorch."""
