"""`models/<name>/model.yaml`: where a model's weights come from, whose they are, and what is kept of its vocabulary."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from etlch import yamlfile
from etlch.errors import EtlchError, ManyErrors

MODELS, RECIPE, WEIGHTS = Path("models"), "model.yaml", "weights"
LAYOUT = 1  # of what is written into weights/; raised when the same recipe gives other bytes
_TEXT = ("title", "licence", "terms", "template")
_KEYS = {
    **dict.fromkeys(_TEXT, str),
    "languages": list,
    "gguf": dict,
    "model": str,
    "vocabulary": dict,
    "adapter": list,
}
_EXPECTED = {str: "text", list: "a list", dict: "a mapping"}
_SOURCES = ("package", "hub", "path")
_PLACES = {"package": "name==version", "hub": "owner/name", "path": "a file on this machine"}
_PLACE = {"package": r"[\w.-]+==[\w.]+", "hub": r"[\w.-]+/[\w.-]+"}
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Source:
    """One place of a file. kind: package (`name==version`, its data files joined in order), hub (`owner/name`), path (on
    this machine)."""

    kind: str
    place: str
    files: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.kind} {self.place}"


@dataclass(frozen=True, slots=True)
class Keep:
    """What is kept of a vocabulary: control tokens, bytes and single characters always; of the longer tokens those that
    are made of Chinese characters, and the first `ascii` (by id: the most frequent) that are ASCII."""

    han: bool = False
    ascii: int = 0


@dataclass(frozen=True, slots=True)
class Recipe:
    """A model.yaml. Either a GGUF file with its checksum and its sources in order, or the name of a model on the hub."""

    folder: Path
    title: str
    licence: str
    terms: str
    template: str
    languages: tuple[str, ...]
    sha256: str = ""
    sources: tuple[Source, ...] = ()
    model: str = ""
    keep: Keep | None = None
    tasks: tuple[str, ...] = ()  # of the adapter that is committed beside the recipe, ready to use

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def weights(self) -> Path:
        """The folder that LlamaFactory is given."""
        return self.folder / WEIGHTS

    @property
    def adapter(self) -> Path:
        """The folder of the ready adapter, where `tasks` is not empty."""
        return self.folder / "adapter"

    @property
    def fingerprint(self) -> str:
        """A checksum of what the weights depend on, and of nothing else."""
        parts = {"layout": LAYOUT, "sha256": self.sha256, "model": self.model}
        parts |= {"keep": asdict(self.keep) if self.keep else None}
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def find(name: str, models: Path = MODELS) -> Recipe:
    """The recipe of a model by name. Raises EtlchError naming those that are there."""
    path = models / name / RECIPE
    if "/" in name or not path.is_file():
        known = ", ".join(sorted(found.parent.name for found in models.glob(f"*/{RECIPE}"))) or "none"
        raise EtlchError(f"{path}: no such file (expected the name of a folder of {models}/ with a {RECIPE}: {known})")
    return read(path)


def every(models: Path = MODELS) -> list[Recipe]:
    """All recipes, by name. Raises ManyErrors for a bad one."""
    return [read(path) for path in sorted(models.glob(f"*/{RECIPE}"))]


def label(model: str) -> str:
    """A short name of a model: `gemma3-270m` for models/gemma3-270m/weights, else the last part of its path or hub name."""
    path = Path(model)
    return path.parent.name if path.name == WEIGHTS else path.name


def read(path: Path) -> Recipe:
    """Raises ManyErrors with every problem of the file, each with its line."""
    file = yamlfile.read(path, f"the keys {', '.join(_KEYS)}")
    problems = list(_problems(file.data))
    if problems:
        raise ManyErrors([f"{file.where(*keys)}: {problem}" for keys, problem in problems])
    row = file.data
    gguf, vocabulary = row.get("gguf", {}), row.get("vocabulary")
    return Recipe(
        folder=path.parent,
        languages=tuple(row.get("languages", ())),
        sha256=gguf.get("sha256", ""),
        sources=tuple(_source(item) for item in gguf.get("sources", ())),
        model=row.get("model", ""),
        tasks=tuple(row.get("adapter", ())),
        keep=Keep(bool(vocabulary.get("han", False)), int(vocabulary.get("ascii", 0))) if vocabulary else None,
        **{key: row[key] for key in _TEXT},
    )


def _source(item: dict[str, Any]) -> Source:
    kind = next(kind for kind in _SOURCES if kind in item)
    return Source(kind, item[kind], tuple(_files(item)))


def _files(item: dict[str, Any]) -> list[Any]:
    """`files` is a list, or the one name."""
    files = item.get("files", [])
    return files if isinstance(files, list) else [files]


def _problems(row: dict[str, Any]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """(keys, problem) of everything that is wrong."""
    for key in row:
        if key not in _KEYS:
            yield (key,), f"unknown key {key!r} (expected {', '.join(_KEYS)})"
    for key, kind in _KEYS.items():
        if key in _TEXT and key not in row:
            yield (), f"{key}: missing (expected {_EXPECTED[kind]})"
        elif key in row and not isinstance(row[key], kind):
            yield (key,), f"{key}: found {row[key]!r} (expected {_EXPECTED[kind]})"
    if ("gguf" in row) == ("model" in row):
        yield (), "found " + ("both" if "gguf" in row else "neither") + " of gguf and model (expected one of them)"
    if isinstance(row.get("gguf"), dict):
        yield from _gguf_problems(row["gguf"])
    if isinstance(row.get("vocabulary"), dict):
        yield from _vocabulary_problems(row["vocabulary"], "gguf" in row)
    if isinstance(row.get("template"), str):
        yield from _template_problems(row["template"])


def _gguf_problems(gguf: dict[str, Any]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    for key in gguf:
        if key not in ("sha256", "sources"):
            yield ("gguf", key), f"unknown key {key!r} (expected sha256, sources)"
    if not _SHA256.fullmatch(str(gguf.get("sha256"))):
        yield ("gguf", "sha256"), f"sha256: found {gguf.get('sha256')!r} (expected 64 hexadecimal digits)"
    sources = gguf.get("sources")
    if not isinstance(sources, list) or not sources:
        yield ("gguf", "sources"), f"sources: found {sources!r} (expected a list of {', '.join(_SOURCES)})"
        return
    for number, item in enumerate(sources):
        if problem := _source_problem(item):
            yield ("gguf", "sources", number), problem


def _source_problem(item: Any) -> str:
    kinds = [kind for kind in _SOURCES if isinstance(item, dict) and kind in item]
    if len(kinds) != 1:
        return f"found {item!r} (expected one of {', '.join(_SOURCES)})"
    kind, allowed = kinds[0], [kinds[0]] if kinds[0] == "path" else [kinds[0], "files"]
    if unknown := [key for key in item if key not in allowed]:
        return f"unknown key {unknown[0]!r} (expected {', '.join(allowed)})"
    place, files = item[kind], _files(item)
    if not isinstance(place, str) or not re.fullmatch(_PLACE.get(kind, ".+"), place):
        return f"{kind}: found {place!r} (expected {_PLACES[kind]})"
    if kind != "path" and (not files or not all(isinstance(file, str) for file in files)):
        return f"files: found {item.get('files')!r} (expected the file's name, or those of its parts in order)"
    if kind == "hub" and len(files) > 1:
        return f"files: found {len(files)} (expected the name of one file)"
    return ""


def _vocabulary_problems(row: dict[str, Any], from_gguf: bool) -> Iterator[tuple[tuple[str | int, ...], str]]:
    if not from_gguf:
        yield ("vocabulary",), "vocabulary: only that of a GGUF file can be cut"
    for key, value in row.items():
        if key not in ("han", "ascii"):
            yield ("vocabulary", key), f"unknown key {key!r} (expected han, ascii)"
        elif (type(value) is not bool) if key == "han" else (type(value) is not int or value < 0):
            expected = "true or false" if key == "han" else "a whole number"
            yield ("vocabulary", key), f"{key}: found {value!r} (expected {expected})"


def _template_problems(template: str) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """LlamaFactory's import takes seconds, so its list of templates is read from its source."""
    import difflib
    from importlib.util import find_spec

    spec = find_spec("llamafactory")
    if spec is None or not spec.submodule_search_locations:
        return
    source = (Path(spec.submodule_search_locations[0]) / "data" / "template.py").read_text(encoding="utf-8")
    known = re.findall(r'register_template\(\s*name="([^"]+)"', source)
    if known and template not in known:
        close = ", ".join(difflib.get_close_matches(template, known, n=3)) or "a template of LlamaFactory"
        yield ("template",), f"template: found {template!r} (expected for example {close})"
