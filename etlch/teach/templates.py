"""The prompts, which a user can edit: one text file a stage, with `{name}` where a value goes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from etlch.errors import EtlchError, ManyErrors

FOLDER = Path(__file__).parent / "prompts"
PLACES = {
    "article": ("topic", "number", "length"),
    "instruction": ("article",),
    "gold": ("instruction", "keys", "article"),
    "kge": ("instruction", "article"),
    "ner": ("instruction", "article"),
    "retry": ("reason",),
}
"""Each prompt file (`<name>.txt`) and the places that it must hold."""


@dataclass(frozen=True, slots=True)
class Templates:
    """The six prompt texts by name."""

    texts: dict[str, str]

    def fill(self, name: str, **values: str | int) -> str:
        """The prompt with its places filled, in one pass: braces inside a value are left as they are."""
        return re.sub(r"\{(\w+)\}", lambda place: str(values.get(place[1], place[0])), self.texts[name])


def load(folder: Path | None = None) -> Templates:
    """Read the prompts; a file that `folder` does not hold comes from the package.

    Raises ManyErrors naming each file that cannot be read or lacks a place.
    """
    if folder is not None and not folder.is_dir():
        raise EtlchError(f"{folder}: no such folder (expected prompt files such as article.txt, see {FOLDER})")
    texts: dict[str, str] = {}
    problems: list[str] = []
    for name, places in PLACES.items():
        own = folder and folder / f"{name}.txt"
        path = own if own and own.exists() else FOLDER / f"{name}.txt"
        try:
            texts[name] = read_text(path).strip()
        except EtlchError as error:
            problems.append(str(error))
        else:
            problems += [f"{path}: {{{place}}} is missing" for place in places if f"{{{place}}}" not in texts[name]]
    if problems:
        raise ManyErrors(problems)
    return Templates(texts)


def read_text(path: Path) -> str:
    """A file that a user wrote in UTF-8. Raises EtlchError."""
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise EtlchError(f"{path}: cannot be read ({error.strerror or error})") from None
    except UnicodeDecodeError as error:
        raise EtlchError(f"{path}: not UTF-8 ({error.reason} at byte {error.start + 1})") from None
