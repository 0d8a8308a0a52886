"""Image and video files: which there are, read, drawn on, put on one sheet, written."""
