"""Steps with `runs_in="process"`: each attempt in a child process with limits of its own.

`pool` is the worker's side. It starts one `template` process, which imports the app and forks the
step processes (`child`), reaps them, and kills them and all that they started when they, the worker
or their time ends. What crosses is described in `wire`: JSON and stored texts, no pickles.
"""

from headrace.worker.processes.pool import StepProcesses

__all__ = ["StepProcesses"]
