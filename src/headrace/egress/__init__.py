"""Calls to addresses that strangers name: one client, which reaches nothing that is not public."""
