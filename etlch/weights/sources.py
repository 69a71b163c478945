"""The file that a recipe names, out of an installed package, the hub or this machine: the first source that has it whole."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from etlch.checksums import of_file
from etlch.errors import EtlchError
from etlch.weights.recipe import Recipe, Source

CHUNK = 2**22


def fetch(recipe: Recipe, target: Path) -> Path:
    """A path at which the file can be read: where it lies if it is in one piece there, else `target`, written from its parts.

    Raises EtlchError with what each source said when none has the file with the recipe's checksum.
    """
    failures = []
    for source in recipe.sources:
        try:
            return _TAKE[source.kind](source, recipe.sha256, target)
        except EtlchError as error:
            failures.append(f"{source}: {error}")
        except OSError as error:
            raise EtlchError(f"{error.filename or target}: cannot be written ({error.strerror or error})") from None
    raise EtlchError(f"{recipe.folder / 'model.yaml'}: no source has the weights: " + "; ".join(failures))


def _package(source: Source, sha256: str, target: Path) -> Path:
    pieces = list(parts(source))
    again = f"; install it again: `{_install(source)} --force-reinstall`"
    if len(pieces) == 1:
        return _whole(pieces[0], sha256, again)
    found = hashlib.sha256()
    with target.open("wb") as joined:
        for piece in pieces:
            with piece.open("rb") as read:
                while chunk := read.read(CHUNK):
                    found.update(chunk)
                    joined.write(chunk)
    _demand(found.hexdigest(), sha256, "its parts, joined,", again)
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


def _hub(source: Source, sha256: str, target: Path) -> Path:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled
    from huggingface_hub.utils import logging

    before = logging.get_verbosity()
    logging.set_verbosity_error()  # without network it would tell of each of its five tries
    try:
        return _whole(Path(hf_hub_download(source.place, source.files[0])), sha256)
    except (LocalEntryNotFoundError, OfflineModeIsEnabled):
        raise EtlchError("the hub cannot be reached and the file is not in its cache") from None
    except HfHubHTTPError as error:
        raise EtlchError(f"the hub refused ({' '.join(str(error).split())[:120]})") from None
    finally:
        logging.set_verbosity(before)


def _path(source: Source, sha256: str, target: Path) -> Path:
    path = Path(source.place).expanduser()
    if not path.is_file():
        raise EtlchError("no such file")
    return _whole(path, sha256)


def _whole(path: Path, sha256: str, advice: str = "") -> Path:
    _demand(of_file(path), sha256, str(path), advice)
    return path


def _demand(found: str, expected: str, what: str, advice: str) -> None:
    if found != expected:
        raise EtlchError(
            f"SHA-256 of {what} is {found[:12]}... (expected {expected[:12]}...): damaged, or another file{advice}"
        )


_TAKE = {"package": _package, "hub": _hub, "path": _path}
