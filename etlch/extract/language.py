"""Is a document written in the language of a task? Told by its script alone, which is enough to catch the wrong file."""

from __future__ import annotations

import unicodedata
from itertools import islice

_HAN, _KANA = ("CJK",), ("HIRAGANA", "KATAKANA")  # how Unicode's names of their letters begin
_LATIN = ("en", "de", "fr", "es", "it", "pt", "nl", "sv", "da", "no", "fi", "pl", "cs", "tr", "vi", "id")
_WRITTEN = {"zh": _HAN, "ja": (*_HAN, *_KANA), "ko": ("HANGUL", *_HAN)} | dict.fromkeys(_LATIN, ("LATIN",))
_LOOKED_AT, _FEWEST, _SHARE = 5000, 20, 0.2  # letters; letters; of them in the script


def mismatch(text: str, language: str) -> str:
    """Why a text is not in a language (a code such as zh-TW); nothing when it may be, or when the language is not known.

    Names and formulas in other scripts are common, so a fifth of the letters is enough; kana make Chinese Japanese.
    """
    script = _WRITTEN.get(language.lower().split("-")[0])
    letters = list(islice((c for c in text if c.isalpha()), _LOOKED_AT))
    if script is None or len(letters) < _FEWEST:
        return ""
    names = [unicodedata.name(letter, "") for letter in letters]
    own = sum(name.startswith(script) for name in names)
    foreign_kana = sum(name.startswith(_KANA) for name in names) if script == _HAN else 0
    if own >= _SHARE * len(letters) and foreign_kana < _SHARE * len(letters):
        return ""
    found = f"{own} of {len(letters)} letters are in the script of {language}"
    if foreign_kana:
        found = f"{foreign_kana} of {len(letters)} letters are kana"
    return f"another language: {found} (expected {language}, the task's; --lang CODE says that it is meant)"
