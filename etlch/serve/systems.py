"""What is served: systems (a model, or a model with an adapter) by name, and the limits on requests."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from etlch.errors import EtlchError, ManyErrors
from etlch.weights import recipe

_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
_NAME = re.compile(r"[\w.+-]+")
_LOCAL = ("models/", "runs/", ".", "/")


@dataclass(frozen=True, slots=True)
class System:
    """A model (a folder or a name on the Hub), or an adapter, which names its own model."""

    name: str
    model: str | None = None
    adapter: str | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """What a client may ask for. Sizes in bytes and code points, times in seconds."""

    body: int = 4 * 2**20
    texts: int = 32
    chars: int = 20_000
    queue: int = 64
    batch: int = 16
    seconds: float = 60.0
    upload_seconds: float = 10.0


def read_systems(given: list[str]) -> list[System]:
    """Systems of the form `NAME=FOLDER`, `FOLDER` or a Hub name. Raises ManyErrors with every problem of all of them."""
    systems: list[System] = []
    problems: list[str] = []
    for item in given:
        try:
            system = read_system(item)
            if any(system.name == other.name for other in systems):
                raise EtlchError(f"--system {item}: the name {system.name!r} again (expected NAME=FOLDER with its own)")
            systems.append(system)
        except EtlchError as error:
            problems.append(str(error))
    if problems:
        raise ManyErrors(problems)
    return systems


def read_system(item: str) -> System:
    """One system: its folder in runs/, an adapter's folder, a model's folder, or a model on the Hub.

    Raises EtlchError for a folder that is none of them.
    """
    name, equals, place = item.partition("=")
    if not equals:
        name, place = "", item
    if name and not _NAME.fullmatch(name):
        raise EtlchError(f"--system {item}: name {name!r} (expected letters, digits, dot, plus, hyphen, underscore)")
    folder = Path(place)
    for adapter in (folder, folder / "adapter"):
        if (adapter / "adapter_config.json").is_file():
            default = adapter.parent.name if adapter.name == "adapter" else adapter.name
            return System(name or default, adapter=str(adapter))
    if (folder / recipe.RECIPE).is_file():  # its ready adapter, taken above, is not there: the model as it is
        return System(name or folder.resolve().name, model=place)
    if (folder / "config.json").is_file():
        return System(name or recipe.label(place), model=place)
    if not folder.exists() and _HUB_NAME.fullmatch(place) and not place.startswith(_LOCAL):
        return System(name or place.split("/")[1], model=place)
    what = "holds neither adapter nor model" if folder.exists() else "is not there"
    raise EtlchError(
        f"--system {item}: {place} {what} (expected a system such as runs/gemma/gemma_300, made by `make train-300`, a "
        "model's folder or a Hub name)"
    )
