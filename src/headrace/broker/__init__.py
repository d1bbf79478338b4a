"""Doorbells: they wake workers, and carry neither work nor truth."""
