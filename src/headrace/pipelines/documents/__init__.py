"""Documents: files to Markdown, to chunks, to vectors, to answers."""
