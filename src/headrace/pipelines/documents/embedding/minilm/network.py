"""The computation: numbers of tokens in, vectors out."""

from __future__ import annotations

import ctypes
import os
import sys
from array import array
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from headrace.pipelines.documents.embedding.errors import installed_with
from headrace.pipelines.documents.embedding.space import Vector

# onnxruntime 1.32 writes files into HOME and TMPDIR, and reports to its makers. Only this,
# set before the import, stops it: its own switch comes too late.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

with installed_with("embeddings", embedder="minilm"):
    import numpy as np
    import onnxruntime

if TYPE_CHECKING:
    import numpy.typing as npt

_SEVERE: Final = 3
"""Of onnxruntime's log: errors only, which it also raises."""


class Network:
    """The loaded model. Several threads may run it at the same time."""

    def __init__(self, session: Any) -> None:  # noqa: ANN401 - onnxruntime ships no types
        self._session = session

    def run(self, ids: Sequence[Sequence[int]]) -> list[Vector]:
        """One vector for each text: the mean over its tokens, scaled to length 1."""
        longest = max(map(len, ids))
        tokens = np.zeros((len(ids), longest), np.int64)
        mask = np.zeros_like(tokens)
        for row, each in enumerate(ids):
            tokens[row, : len(each)] = each
            mask[row, : len(each)] = 1
        given = {
            "input_ids": tokens,
            "attention_mask": mask,
            "token_type_ids": np.zeros_like(tokens),
        }
        [states] = self._session.run(None, given)
        return [_vector(states[row, : len(each)]) for row, each in enumerate(ids)]


def _vector(states: npt.NDArray[np.float32]) -> Vector:
    # Over the text's own rows only, so that padding cannot change how the sum is rounded.
    mean = states.mean(axis=0, dtype=np.float64)
    vector = array("f")
    vector.frombytes((mean / np.linalg.norm(mean)).astype(np.float32).tobytes())
    return vector


def load_network(model: bytes) -> Network:
    """The network of an ONNX file; takes 0.15 s.

    Each run computes on the thread that calls it: with threads of its own the session would keep
    them spinning while there is nothing to do, and was slower (134 against 140 texts a second).
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = _SEVERE
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    _return_memory()
    return Network(session)


def _return_memory() -> None:
    """Give back what loading has freed; glibc would keep these 60 MiB for good. Takes 10 ms.

    Other allocators cannot be asked to.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)
