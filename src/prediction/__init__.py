"""What ``src.predict`` writes: a line per file as it is done, and the files of its result."""
