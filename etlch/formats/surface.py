"""What a surface is: which signs are one, which nobody sees, which surfaces name nothing, and what models put around them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

_DOTS = "\u00b7\u0387\u2022\u2027\u2219\u22c5\u30fb\uff65"  # in names: 阿爾伯特·愛因斯坦
_UNSEEN = (
    *(0xAD, 0x34F, 0x61C, 0xFEFF, *range(0x180B, 0x1810), *range(0x200B, 0x2010), *range(0x202A, 0x202F)),
    *(*range(0x2060, 0x2070), *range(0xFE00, 0xFE10), *range(0xE0000, 0xE0080), *range(0xE0100, 0xE01F0)),
)
_ONE_SIGN = dict.fromkeys(_UNSEEN) | dict.fromkeys(map(ord, _DOTS), _DOTS[0])

_FUNCTION_WORDS = frozenset(
    re.findall(
        r"\w+",
        "的 了 在 是 和 與 与 及 或 也 而 但 於 之 其 為 为 被 把 從 从 到 由 並 并 且 又 則 则 這 这 那 此 該 该 所 因 等 等等 "
        "嗎 吗 呢 吧 啊 著 着 因為 因为 因此 以及 而且 但是 或者 並且 并且 他 她 它 我 你 他們 他们 她們 她们 它們 它们 我們 我们 "
        "你們 你们 a an and are as at be been but by for from had has have he her him his i in is it its not of on or she "
        "that the their them these they this those to was we were which who with you",
    )
)


def one_sign(text: str) -> str:
    """NFKC, the middle dots one sign, soft hyphens, zero-width signs and other invisible ones left out."""
    return text if text.isascii() else unicodedata.normalize("NFKC", text.translate(_ONE_SIGN))


def names(text: str) -> bool:
    """Does a surface name anything? Not when it is empty, of punctuation alone, or a single function word (English ones
    in lower case or, from three letters on, capitalised: `As` is arsenic, `US` a country)."""
    text = one_sign(text)
    word = re.sub(r"\A[\W_]+|[\W_]+\Z", "", text)
    if not word:
        return any(unicodedata.category(sign) in ("So", "Sc", "Co") for sign in text)  # an emoji, a currency
    return word not in _FUNCTION_WORDS and not (len(word) > 2 and word.istitle() and word.lower() in _FUNCTION_WORDS)


# --- what models put around an item of a list ---

_PAIRS = {
    "（": "）",
    "(": ")",
    "[": "]",
    "［": "］",
    "【": "】",
    "〔": "〕",
    "<": ">",
    "「": "」",
    "『": "』",
    "“": "”",
} | {mark: mark for mark in ('"', "'", "`", "*", "＊")}
_MARK = re.compile(
    r"[+•·・‧●○■□◆▪►▶➢✓√>#]+\s*|\*+\s+|\*(?![^*]*\*)|[-–—−－]+\s+|[-–—−－]+(?![0-9\s])"
    r"|[(（\[【]?[0-9０-９]{1,3}(?:[、)）\]】]|[.．:：](?![0-9]))\s*"
    r"|[(（]?(?:[A-Za-z]|[一二三四五六七八九十]{1,3})(?:[、)）]|[.．]\s)\s*"
    r"|[①-⒇⓪-⓿❶-➓㈠-㈩]\s*"
)
_MOST = 3


def without_mark(item: str, keep: Callable[[str], bool]) -> str:
    """An item without list marks before it (`1. `, `1、`, `（1）`, `①`, `•`, `-`), three at most; `keep` says that it
    needs them."""
    for _ in range(_MOST):
        match = _MARK.match(item)
        if not match or match.end() == len(item) or keep(item):
            break
        item = item[match.end() :]
    return item


def unwrapped(item: str) -> str:
    """An item without brackets, quotes and stars that reach around all of it, three at most."""
    for _ in range(_MOST):
        if len(item) < 3 or _PAIRS.get(item[0]) != item[-1]:
            break
        inner = item.strip(item[0]) if item[0] == item[-1] else item[1:-1]
        if not inner or (item[0] in inner if item[0] == item[-1] else not _balanced(inner, item[0], item[-1])):
            break
        item = inner.strip()
    return item


def _balanced(text: str, opens: str, closes: str) -> bool:
    """Does no bracket of this kind close that was not opened within the text?"""
    depth = 0
    for sign in text:
        depth += (sign == opens) - (sign == closes)
        if depth < 0:
            return False
    return True


def without_end(item: str) -> str:
    """An item without the full stops and commas behind it."""
    return item.rstrip(" \t。．；;，,、")
