"""How results are shown: what all charts and tables share. Knows nothing of detectors."""
