"""`models/<name>/model.yaml`: where a model's weights come from, whose they are, and what is kept of its vocabulary."""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator

from etlch import yamlfile
from etlch.errors import EtlchError, ManyErrors

MODELS, RECIPE, WEIGHTS = Path("models"), "model.yaml", "weights"
LAYOUT = 1  # of what is written into weights/; raised when the same recipe gives other bytes
_KINDS = ("package", "hub", "path")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Source(_Strict):
    """One place of a file: a package (`name==version`, its data files joined in order), the hub (`owner/name`), or a path
    on this machine."""

    package: str | None = Field(None, pattern=r"^[\w.-]+==[\w.]+$")
    hub: str | None = Field(None, pattern=r"^[\w.-]+/[\w.-]+$")
    path: str | None = None
    files: Annotated[list[str], BeforeValidator(lambda files: [files] if isinstance(files, str) else files)] = []

    @model_validator(mode="after")
    def _is_one(self) -> Source:
        if sum(getattr(self, kind) is not None for kind in _KINDS) != 1:
            raise ValueError(f"expected one of {', '.join(_KINDS)}")
        least, most = {"package": (1, 99), "hub": (1, 1), "path": (0, 0)}[self.kind]
        if not least <= len(self.files) <= most:
            raise ValueError(
                "expected `files`: of a package the file's name or those of its parts in order; of the hub one name"
            )
        return self

    @property
    def kind(self) -> str:
        return next(kind for kind in _KINDS if getattr(self, kind) is not None)

    @property
    def place(self) -> str:
        return getattr(self, self.kind)

    def __str__(self) -> str:
        return f"{self.kind} {self.place}"


class Gguf(_Strict):
    """A GGUF file: its checksum, and its sources in the order in which they are tried."""

    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    sources: list[Source] = Field(min_length=1)


class Keep(_Strict):
    """What is kept of a vocabulary: control tokens, bytes and single characters always; of the longer tokens those that
    are made of Chinese characters, and the first `ascii` (by id: the most frequent) that are ASCII."""

    han: bool = False
    ascii: int = Field(0, ge=0)


class Recipe(_Strict):
    """A model.yaml."""

    title: str
    licence: str
    terms: str
    template: str
    languages: list[str] = []
    gguf: Gguf
    keep: Keep | None = Field(None, alias="vocabulary")
    tasks: list[str] = Field([], alias="adapter")  # of the adapter that is committed beside the recipe, ready to use
    folder: Path = Path()  # of the file

    @field_validator("template")
    @classmethod
    def _is_known(cls, template: str) -> str:
        """LlamaFactory's import takes seconds, so its list of templates is read from its source."""
        spec = find_spec("llamafactory")
        if spec and spec.submodule_search_locations:
            source = Path(spec.submodule_search_locations[0]) / "data" / "template.py"
            known = re.findall(r'register_template\(\s*name="([^"]+)"', source.read_text(encoding="utf-8"))
            if known and template not in known:
                close = ", ".join(difflib.get_close_matches(template, known, n=3)) or "a template of LlamaFactory"
                raise ValueError(f"expected for example {close}")
        return template

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
        parts = {
            "layout": LAYOUT,
            "sha256": self.gguf.sha256,
            "model": "",
        }  # a recipe could name a model of the hub once
        parts |= {"keep": self.keep.model_dump() if self.keep else None}
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
    file = yamlfile.read(path, "title, licence, terms, template, gguf and what docs/models.md has besides")
    try:
        return Recipe.model_validate(file.data).model_copy(update={"folder": path.parent})
    except ValidationError as error:
        raise ManyErrors([f"{file.where(*found['loc'])}: {_told(found)}" for found in error.errors()]) from None


def _told(problem: Any) -> str:
    """pydantic's finding as `key: found ... (expected ...)`."""
    found = "" if problem["type"] == "missing" else f"found {problem['input']!r:.80} "
    reason = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "extra_forbidden":
        reason = "unknown key, expected those of docs/models.md"
    return f"{'.'.join(map(str, problem['loc']))}: {found}({reason})"
