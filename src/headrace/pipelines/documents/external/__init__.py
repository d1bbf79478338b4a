"""An external parser: it is handed the file, and calls back with the Markdown when it has it."""
