"""Is a document written in the language of a task? Told by its script alone, which is enough to catch the wrong file."""

from __future__ import annotations

import re
from itertools import islice

_HAN = re.compile(r"[\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_KANA = re.compile(r"[\u3040-\u30ff]")
_HANGUL = re.compile(r"[\u1100-\u11ff\uac00-\ud7af]")
_LATIN = re.compile(r"[A-Za-z\u00c0-\u024f]")
_SCRIPTS = {"Chinese": (_HAN,), "Japanese": (_HAN, _KANA), "Korean": (_HANGUL, _HAN), "Latin": (_LATIN,)}
_WRITTEN = {"zh": "Chinese", "ja": "Japanese", "ko": "Korean"} | dict.fromkeys(
    ("en", "de", "fr", "es", "it", "pt", "nl", "sv", "da", "no", "fi", "pl", "cs", "tr", "vi", "id"), "Latin"
)
_LOOKED_AT, _FEWEST, _SHARE = 5000, 20, 0.2  # letters; letters; of them in the script


def mismatch(text: str, language: str) -> str:
    """Why a text is not in a language (a code such as zh-TW); nothing when it may be, or when the language is not known.

    Names and formulas in other scripts are common, so a fifth of the letters is enough; kana make Chinese Japanese.
    """
    script = _WRITTEN.get(language.lower().split("-")[0])
    letters = list(islice((c for c in text if c.isalpha()), _LOOKED_AT))
    if script is None or len(letters) < _FEWEST:
        return ""
    own = sum(any(kind.match(letter) for kind in _SCRIPTS[script]) for letter in letters)
    foreign_kana = sum(bool(_KANA.match(letter)) for letter in letters) if script == "Chinese" else 0
    if own >= _SHARE * len(letters) and foreign_kana < _SHARE * len(letters):
        return ""
    found = f"{own} of {len(letters)} letters are in the script of {language}"
    if foreign_kana:
        found = f"{foreign_kana} of {len(letters)} letters are kana"
    return f"another language: {found} (expected {language}, the task's; --lang CODE says that it is meant)"
