"""What operators and platforms ask of a process: whether it lives, is ready, and what it does."""
