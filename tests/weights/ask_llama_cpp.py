"""Ask llama.cpp for token ids and most likely next tokens, and write its answers to llama_cpp.json beside this file.

    pip install --no-deps xllamacpp
    PYTHONPATH=. python tests/weights/ask_llama_cpp.py

Run by hand when a model is added or a package changes; test_tokenizer.py compares with the file and needs no llama.cpp. The
texts are sentences of this repository and strings of a seeded generator; they stand in the file with the answers. Both models
are asked with the whole vocabulary of their GGUF files: about three minutes on one core.
"""

from __future__ import annotations

import json
import random
import re
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import yaml

from etlch.records import dump_json, read_records, write_text
from etlch.weights import recipe as recipes
from etlch.weights import sources

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
        if topic["lang"] == language and topic["split"] == "train":
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


def tokens(ask: Callable[[str, dict], dict], text: str) -> list[int]:
    return ask("tokenize", {"content": text, "add_special": True, "parse_special": True})["tokens"]


def most_likely(ask: Callable[[str, dict], dict], ids: list[int], first: int) -> list[int]:
    """The token that llama.cpp finds most likely after each prefix of `first` tokens and more, short of the whole."""
    found = []
    for end in range(first, len(ids)):
        row = {"prompt": ids[:end], "n_predict": 1, "temperature": 0, "cache_prompt": True, "return_tokens": True}
        found += ask("completion", row)["tokens"]
    if len(found) != len(ids) - first:
        raise RuntimeError(f"{len(found)} next tokens (expected {len(ids) - first})")
    return found


def answers(model: str, asked: list[tuple[str, str]], version: str) -> dict:
    with tempfile.TemporaryDirectory() as scratch:
        recipe = recipes.find(model, ROOT / "models")
        ask = asker(sources.fetch(recipe, Path(scratch) / "joined.gguf"))
        ids = [tokens(ask, text) for _, text in asked]
        next_tokens = []  # (number of the text, length of the first prefix, most likely tokens)
        for kind, room in POSITIONS[model].items():
            for number, (found, _) in enumerate(asked):
                if found == kind and room > 0:
                    first = max(1, len(ids[number]) - room) if kind == "long" else 1
                    row = most_likely(ask, ids[number][: first + room], first)
                    next_tokens.append((number, first, row))
                    room -= len(row)
        return {"sha256": recipe.sha256, "by": version, "ids": ids, "next": next_tokens}


def main() -> int:
    import xllamacpp

    version = f"xllamacpp {xllamacpp.__version__}"
    asked = list(texts())
    rows = {model: answers(model, asked, version) for model in CHAT}
    lines = ['{"texts": [', ",\n".join(dump_json(list(row)) for row in asked), "]"]
    for model, row in rows.items():
        head = dump_json({key: row[key] for key in ("sha256", "by", "next")})[:-1]
        lines += [
            f',"{model}": {head}, "ids": [',
            ",\n".join(json.dumps(ids, separators=(",", ":")) for ids in row["ids"]),
            "]}",
        ]
    write_text(ANSWERS, "\n".join([*lines, "}"]) + "\n")
    json.loads(ANSWERS.read_text(encoding="utf-8"))
    print(f"{ANSWERS}: {ANSWERS.stat().st_size:,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
