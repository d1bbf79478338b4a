import os
import subprocess
import sys
from pathlib import Path
from threading import Thread
from time import thread_time

from bench.corpus import SHORTEST, write_corpus
from bench.processors import used
from headrace.pipelines.documents.parsing import ParseLimits, kind_of, parse


class TestCorpus:
    def test_it_holds_files_of_all_kinds_with_text(self, tmp_path: Path) -> None:
        paths = write_corpus(tmp_path, 4)
        assert [path.suffix for path in paths] == [".md", ".html", ".docx", ".pdf"]
        for path in paths:
            data = path.read_bytes()
            text = parse(data, kind_of(data, path.name), ParseLimits()).markdown
            assert text.startswith(f"# {path.stem.partition('-')[2]}\n")
            assert len(text) > SHORTEST

    def test_it_is_the_same_each_time(self, tmp_path: Path) -> None:
        first, second = write_corpus(tmp_path / "a", 6), write_corpus(tmp_path / "b", 4)
        assert [path.read_bytes() for path in first[:4]] == [path.read_bytes() for path in second]


class TestProcessors:
    def test_time_on_the_main_thread_is_the_loops(self) -> None:
        before = used(os.getpid(), backend=0)
        burn(0.1)
        spent = used(os.getpid(), backend=0).since(before)
        assert spent.loop >= 0.08
        assert spent.database == 0

    def test_time_of_another_thread_is_not(self) -> None:
        before = used(os.getpid(), backend=0)
        thread = Thread(target=burn, args=(0.1,))
        thread.start()
        thread.join()
        spent = used(os.getpid(), backend=0).since(before)
        assert spent.threads >= 0.08 > spent.loop

    def test_time_of_a_process_that_ended_counts(self) -> None:
        before = used(os.getpid(), backend=0)
        subprocess.run([sys.executable, "-c", "sum(range(20_000_000))"], check=True)
        assert used(os.getpid(), backend=0).since(before).children >= 0.05


def burn(seconds: float) -> None:
    end = thread_time() + seconds
    while thread_time() < end:
        pass
