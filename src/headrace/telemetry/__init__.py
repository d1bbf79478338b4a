"""What the engine tells: typed events, and the sinks that turn them into log lines."""
