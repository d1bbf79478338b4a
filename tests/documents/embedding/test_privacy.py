"""The local model keeps to itself."""

import os
import subprocess
import sys
from pathlib import Path

OPENED = """\
import asyncio
from headrace.pipelines.documents.embedding import open_embedder

async def main():
    embedder = await open_embedder("minilm")
    await embedder.embed(["a text"])
    await embedder.aclose()

asyncio.run(main())
"""


class TestMinilm:
    def test_its_runtime_writes_nothing_and_so_reports_nothing(self, tmp_path: Path):
        environment = {
            **{name: text for name, text in os.environ.items() if not name.startswith("ORT_")},
            "HOME": str(tmp_path),
            "TMPDIR": str(tmp_path),
            "XDG_CACHE_HOME": str(tmp_path),
        }
        subprocess.run([sys.executable, "-c", OPENED], env=environment, check=True, timeout=50)
        assert list(tmp_path.iterdir()) == []
