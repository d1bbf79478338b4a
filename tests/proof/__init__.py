"""The proof of the engine: what must hold of the tables after anything, and a machine that tries.

`checker.check` reads three witnesses that know nothing of each other: the tables, the journal of a
client (`journal`) and the lines that steps wrote themselves (`effects`).
"""
