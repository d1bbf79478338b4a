"""Whose request it is, and what that identity may do."""
