"""Bytes to text and lines: strict decoding that names the encoding that would fit, byte order marks, line ends."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from pathlib import Path

from etlch.errors import EtlchError

BOM = "\ufeff"
CJK = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
"""Han and kana: the scripts whose words are written without blanks."""

_ENCODINGS = {
    "utf_16": "UTF-16",
    "utf_16_le": "UTF-16",
    "utf_16_be": "UTF-16",
    "cp950": "Big5",
    "gb18030": "GB18030",
    "cp932": "Shift_JIS",
    "cp949": "EUC-KR",
    "cp1252": "Windows-1252 (a superset of Latin-1)",
    "latin_1": "Latin-1",
}
"""Encodings that are suggested, by the name of their codec."""
_SHOWN = 24  # characters of the offending line in an error


@dataclass(frozen=True, slots=True)
class TextFile:
    """A decoded file: its text without byte order mark, and whether there was one."""

    text: str
    bom: bool


def read_bytes(path: Path) -> bytes:
    """The content of a file. Raises EtlchError when it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise EtlchError(f"{path}: cannot be read ({error.strerror or error})") from None


def read_text(path: Path, encoding: str = "utf-8") -> TextFile:
    """Decode a file strictly. Raises EtlchError naming file, line, byte and the encodings that would fit."""
    data = read_bytes(path)
    try:
        text = data.decode(encoding)
    except LookupError:
        raise unknown_encoding(encoding) from None
    except UnicodeDecodeError as error:
        raise EtlchError(_misfit(path, data, encoding, error)) from None
    bom = text.startswith(BOM) or data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return TextFile(text.removeprefix(BOM), bom)


def unknown_encoding(name: str) -> EtlchError:
    """The error for a name that Python does not know."""
    return EtlchError(f"unknown encoding {name!r} (expected a name such as utf-8, big5, gb18030 or cp1252)")


def split_lines(text: str) -> list[str]:
    """The lines of a text; they end at LF or CRLF, or at CR in a text without any LF.

    Characters such as U+2028 or U+0085, at which `str.splitlines` cuts, stay inside a line.
    """
    mark = "\r" if "\r" in text and "\n" not in text else "\n"
    lines = [line.removesuffix("\r") for line in text.split(mark)]
    return lines if lines[-1] else lines[:-1]


def line_ends(text: str) -> str:
    """What is unusual about a text's line ends, in words; empty when all are LF."""
    crlf, lf = text.count("\r\n"), text.count("\n")
    if crlf and crlf < lf:
        return f"mixed line ends ({crlf} CRLF, {lf - crlf} LF)"
    if crlf:
        return "line ends are CRLF"
    return "line ends are CR" if "\r" in text and not lf else ""


def _misfit(path: Path, data: bytes, encoding: str, error: UnicodeDecodeError) -> str:
    start = data.rfind(b"\n", 0, error.start) + 1
    line = data.count(b"\n", 0, error.start) + 1
    where = f"{path}:{line}: not {encoding.upper()} (byte 0x{data[error.start]:02X} at byte {error.start - start + 1} of the line)"
    text = data.decode("utf-8", "replace")
    broken = text.count("\ufffd")
    if sum(not c.isascii() for c in text) > 11 * broken:
        return f"{where}; the rest is UTF-8, so the file is damaged there or mixes encodings (expected UTF-8)"
    fits = fitting_encodings(data)
    if not fits:
        return f"{where}; no common encoding fits either, so the file may be damaged or not text (expected UTF-8)"
    line_end = data.find(b"\n", start) if b"\n" in data[start:] else len(data)
    shown = []
    for codec in fits:
        text = (data if codec.startswith("utf") else data[start:line_end]).decode(codec, "replace").strip()
        first = next((i for i, c in enumerate(text) if not c.isascii()), 0)
        reads = [*text[max(0, first - 4) : first + _SHOWN].splitlines(), ""][0]
        shown.append(f"{_ENCODINGS[codec]} (--encoding {codec}; the line reads {reads!r})")
    return f"{where}; it would fit {', or '.join(shown)}"


def fitting_encodings(data: bytes) -> list[str]:
    """The codecs among the usual ones that decode the bytes into likely text, the likeliest first."""
    from charset_normalizer import from_bytes

    wide = data.count(0) * 5 > len(data)
    tried = [codec for codec in _ENCODINGS if wide or not codec.startswith("utf_16_")]
    return [match.encoding for match in from_bytes(data, cp_isolation=tried, preemptive_behaviour=False)][:3]
