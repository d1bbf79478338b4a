"""What a job, a pipeline and a step are: pure values and rules, no I/O and no event loop."""
