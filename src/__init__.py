"""FeatherFace: train, distil, prune, search and measure small face detectors."""
