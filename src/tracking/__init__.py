"""What Weights & Biases shows of runs: workspaces as data, and artefacts with where they come from.

Nothing here imports ``wandb`` before it is needed: that takes a second.
"""
