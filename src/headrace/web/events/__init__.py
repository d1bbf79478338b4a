"""Events of jobs as they happen: one connection reads for all streams of a process."""
