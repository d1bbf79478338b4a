"""`headrace demo`: documents are ingested by a worker that is killed halfway, and then searched.

The pipeline is the one that users have, `headrace.pipelines.documents`. What is here puts a log
around its embedder, runs two workers, and checks what came of it.
"""
