"""Images and labels: files on disk -> Batch. Import from the modules; Lightning takes seconds."""
