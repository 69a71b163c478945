"""Ask llama.cpp for token ids and most likely next tokens, and write its answers to llama_cpp.json beside this file.

    pip install --no-deps xllamacpp
    PYTHONPATH=. python tests/weights/ask_llama_cpp.py

Run by hand when a model is added or a package changes; test_tokenizer.py compares with the file and needs no llama.cpp. The
texts are sentences of this repository and strings of a seeded generator; they stand in the file with the answers. Both models
are asked with the whole vocabulary of their GGUF files, for next tokens a second time with the tensors in float32: about ten minutes on
one core.
"""

from __future__ import annotations

import json
import random
import re
import struct
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import yaml

from etlch.records import dump_json, read_records, write_text
from etlch.weights import gguf_file, sources
from etlch.weights import recipe as recipes

ROOT = Path(__file__).resolve().parents[2]
ANSWERS = Path(__file__).with_name("llama_cpp.json")
SEED = 12
CHAT = {
    "gemma3-270m": "<start_of_turn>user\n{}<end_of_turn>\n<start_of_turn>model\n{}<end_of_turn>\n",
    "smollm2-135m": "<|im_start|>system\n{}<|im_end|>\n<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n",
}
POSITIONS = {"gemma3-270m": {"zh": 450, "en": 450, "long": 100}, "smollm2-135m": {"en": 900, "long": 100}}
BLANKS = (
    " ",
    "  ",
    "    ",
    " " * 33,
    "\n",
    "\n\n",
    "\n\n\n",
    "\r\n",
    "\r",
    "\t",
    "\t\t",
    "\v",
    "\f",
    "\u00a0",
    "\u3000",
    "\u2003",
)
BLANKS += ("\u200b", "\u2028", "\u0085")
EMOJI = [
    "😀",
    "🙈",
    "👍🏽",
    "👩\u200d👩\u200d👧\u200d👦",
    "🏳️\u200d🌈",
    "🇹🇼",
    "🇬🇧",
    "❤️",
    "☎",
    "✈️",
    "🤷🏻\u200d♀️",
    "🧑\u200d🚀",
    "#️⃣",
    "🫠",
    "🪿",
    "♾",
]
RARE = (
    "e\u0301",
    "\u00e9",
    "o\u0302\u0323",
    "Z\u0351\u036b\u0343",
    "\ufb01",
    "\u212b",
    "\u00c5",
    "\u01c5",
    "ß",
    "\u0130",
    "𠮷",
    "𡃁",
    "𫝀",
    "㐂",
)
RARE += (
    "龘",
    "靐",
    "〇",
    "㊣",
    "\ue000",
    "\uf8ff",
    "\ufeff",
    "\ufffd",
    "\u0007",
    "\x7f",
    "\U000e0041",
    "\u202e",
    "a\u0308\u0304",
    "\uac01",
)
RARE += ("\u1100\u1161\u11a8", "\u304b\u3099", "\u304c", "\uff76\uff9e", "\uf900", "▁", "Ġ", "Ċ")
SCRIPTS = [
    "臺灣歷史地理中文簡體汉字",
    "abcXYZ",
    "Ünïcödé",
    "Кириллица",
    "Ελληνικά",
    "עברית",
    "العربية",
    "हिन्दी",
    "ไทย",
    "ქართული",
    "日本語カナ",
    "한국어",
    "አማርኛ",
    "0123456789",
    "٣٤٥",
    "½⅓Ⅷ①₂",
    "，。！？「」、；：…",
    ".,;:!?-—'\"()[]{}<>/\\|@#$%^&*_+=~`",
]


def texts() -> Iterator[tuple[str, str]]:
    """(language or kind, text), 500 of them."""
    rng = random.Random(SEED)
    zh, en = list(_sentences("zh-TW")), list(_sentences("en"))
    yield from (("zh", text) for text in rng.sample(zh, 110))
    yield from (("en", text) for text in rng.sample(en, 110))
    yield "long", " ".join(rng.sample(en, 30))  # longer than Gemma's sliding window of 512
    for number in range(59):
        yield "digits", _digits(rng, number)
    for _ in range(60):
        yield "blanks", _joined(rng, [*BLANKS, *BLANKS, *rng.choice([zh, en])[0].split()[:3], "x", "1", "。"], 9)
    for _ in range(40):
        yield "emoji", _joined(rng, [*EMOJI, *EMOJI, " ", "好", "ok"], 8)
    for _ in range(50):
        yield "rare", _joined(rng, [*RARE, " ", "a", "的"], 10)
    for _ in range(40):
        yield "mixed", "".join(rng.choice(rng.choice(SCRIPTS)) + rng.choice(["", "", " "]) for _ in range(30))
    for number in range(30):
        layout = rng.choice(list(CHAT.values()))
        fill = [rng.choice(zh), rng.choice(en), "", " ", "\n", "<eos>", "<|endoftext|>", "<b>", "[1]"]
        text = layout.format(rng.choice(fill), rng.choice(fill))
        yield "chat", text if number % 3 else text.replace("\n", "").replace("turn", "tur n", 1)


def _sentences(language: str) -> Iterator[str]:
    """Sentences of training articles, without their marks, and training paragraphs of two and more."""
    for path in sorted((ROOT / "data" / "knowledge").glob("*.yaml")):
        topic = yaml.safe_load(path.read_text(encoding="utf-8"))
        if topic.get("lang") == language and topic["split"] == "train":
            yield from (_plain(sentence["text"]) for sentence in topic["sentences"])
    name = "train.jsonl" if language == "zh-TW" else "train_en.jsonl"
    yield from (record.text for record in read_records(ROOT / "data" / "short" / name) if len(record.text) < 300)


def _plain(marked: str) -> str:
    while (found := re.sub(r"\[([^\[\]|]*)\|[^\[\]|]*\]", r"\1", marked)) != marked:
        marked = found
    return marked


def _digits(rng: random.Random, number: int) -> str:
    return [
        lambda: f"{rng.randrange(10 ** rng.randint(1, 18)):,}",
        lambda: f"西元{rng.randint(1, 2100)}年{rng.randint(1, 12)}月{rng.randint(1, 31)}日",
        lambda: f"{rng.random() * 1000:.4f}e-{rng.randint(1, 20)} km² ± {rng.randint(1, 99)}%",
        lambda: f"+886-2-{rng.randrange(10**8):08d} #{rng.randint(1, 99)}, v{rng.randint(0, 9)}.{rng.randint(0, 99)}",
        lambda: dump_json(
            {"id": rng.randrange(10**6), "x": [rng.random(), None, True], "時間": f"{rng.randint(1, 2100)}年"}
        ),
        lambda: (
            f"for i in range({rng.randint(2, 999)}):\n\tx[i] += 0x{rng.randrange(16**6):06X}  # {rng.randint(1, 99)}th"
        ),
    ][number % 6]()


def _joined(rng: random.Random, pieces: list[str], most: int) -> str:
    return "".join(rng.choice(pieces) for _ in range(rng.randint(1, most)))


def asker(path: Path) -> Callable[[str, dict], dict]:
    """llama.cpp's server for a GGUF file, within this process; what is returned posts to it."""
    import xllamacpp

    settings = xllamacpp.CommonParams()
    settings.model.path = path.as_posix()
    settings.n_ctx = 2048
    settings.warmup = False
    settings.cache_type_k = settings.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = 1
    server = xllamacpp.Server(settings)

    def ask(place: str, row: dict) -> dict:
        data = json.dumps(row).encode()
        request = urllib.request.Request(
            f"{server.listening_address}/{place}", data, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)

    return ask


def dequantize(path: Path, target: Path) -> None:
    """Write the file with every tensor in float32. Of the 4-bit file llama.cpp multiplies weights with activations of 8 bits, which
    moves logits by tenths; of this one it computes as we do."""
    import gguf

    bare = target.with_suffix(".bare")
    gguf_file.copy_without_tokenizer(path, bare)  # gguf takes minutes for a tokenizer
    tensors = gguf.GGUFReader(bare).tensors
    with gguf_file.opened(path) as file:
        metadata = file.data[: file.at]
    names, offset = b"", 0
    for tensor in tensors:
        name, shape = tensor.name.encode(), [int(size) for size in tensor.shape]
        names += struct.pack(f"<Q{len(name)}sI{len(shape)}QIQ", len(name), name, len(shape), *shape, 0, offset)
        offset += -(-int(tensor.n_elements) * 4 // 32) * 32
    with target.open("wb") as file:
        file.write(metadata + names)
        for tensor in tensors:
            file.write(bytes(-file.tell() % 32))
            file.write(gguf.dequantize(tensor.data, tensor.tensor_type).astype("<f4").tobytes())


def tokens(ask: Callable[[str, dict], dict], text: str) -> list[int]:
    return ask("tokenize", {"content": text, "add_special": True, "parse_special": True})["tokens"]


def places(model: str, asked: list[tuple[str, str]], ids: list[list[int]]) -> Iterator[tuple[int, int, int]]:
    """(number of the text, length of the first prefix, length of the last one) of where the next token is asked for."""
    for kind, room in POSITIONS[model].items():
        for number, (found, _) in enumerate(asked):
            if found == kind and room > 0:
                first = max(1, len(ids[number]) - room) if kind == "long" else 1
                last = min(first + room, len(ids[number])) - 1
                yield number, first, last
                room -= last - first + 1


def most_likely(ask: Callable[[str, dict], dict], ids: list[int], first: int, last: int) -> list[int]:
    """The token that llama.cpp finds most likely after each prefix of these lengths."""
    found = []
    for end in range(first, last + 1):
        row = {"prompt": ids[:end], "n_predict": 1, "temperature": 0, "cache_prompt": True, "return_tokens": True}
        found += ask("completion", row)["tokens"]
    if len(found) != last - first + 1:
        raise RuntimeError(f"{len(found)} next tokens (expected {last - first + 1})")
    return found


def answers(model: str, asked: list[tuple[str, str]]) -> dict:
    recipe = recipes.find(model, ROOT / "models")
    with tempfile.TemporaryDirectory() as scratch:
        path = sources.fetch(recipe, Path(scratch) / "joined.gguf")
        ask = asker(path)
        ids = [tokens(ask, text) for _, text in asked]
        spans = list(places(model, asked, ids))
        quantized = [most_likely(ask, ids[number], first, last) for number, first, last in spans]
        dequantize(path, Path(scratch) / "float32.gguf")
        ask = asker(Path(scratch) / "float32.gguf")
        exact = [most_likely(ask, ids[number], first, last) for number, first, last in spans]
    rows = [
        {"text": number, "first": first, "quantized": four_bits, "float32": same}
        for (number, first, _), four_bits, same in zip(spans, quantized, exact, strict=True)
    ]
    return {"sha256": recipe.gguf.sha256, "ids": ids, "next": rows}


def main() -> int:
    import xllamacpp

    asked = list(texts())
    write(f"xllamacpp {xllamacpp.__version__}", asked, {model: answers(model, asked) for model in CHAT})
    return 0


def write(version: str, asked: list[tuple[str, str]], rows: dict[str, dict]) -> None:
    """A line a text."""
    lines = [f'{{"by": "{version}", "texts": [', ",\n".join(dump_json(list(row)) for row in asked), "]"]
    for model, row in rows.items():
        lines += [f',"{model}": {{"sha256": "{row["sha256"]}"']
        for key in ("ids", "next"):
            lines += [f',"{key}": [', ",\n".join(json.dumps(item, separators=(",", ":")) for item in row[key]), "]"]
        lines += ["}"]
    write_text(ANSWERS, "\n".join([*lines, "}"]) + "\n")
    json.loads(ANSWERS.read_text(encoding="utf-8"))
    print(f"{ANSWERS}: {ANSWERS.stat().st_size:,} bytes")


if __name__ == "__main__":
    sys.exit(main())
