"""What the local model takes."""

import subprocess
import sys

LOADED = """\
import asyncio
import ctypes
from pathlib import Path
from headrace.pipelines.documents.embedding import open_embedder

def resident():
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4 // 1024

embedder = asyncio.run(open_embedder("minilm"))
before = resident()
ctypes.CDLL(None).malloc_trim(0)
print(before - resident())
"""


class TestMinilm:
    def test_what_loading_has_freed_is_given_back(self):
        done = subprocess.run(
            [sys.executable, "-c", LOADED], capture_output=True, text=True, check=True, timeout=50
        )
        assert int(done.stdout) < 20, "MiB that are still held for nothing"
