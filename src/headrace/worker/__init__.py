"""The worker: claims jobs, runs their steps, shows that it lives, and recovers from deaths."""
