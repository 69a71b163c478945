"""Corpora (`corpora/*.yaml`): what a corpus is called, who may use it, where its files are, and how they become Records.

    name: BC5CDR                    # as prompts name it; the file's stem is the corpus's key
    lang: en
    types: [Chemical, Disease]      # in the order of prompts
    reader: pubtator                # any format of `etlch import --formats`, or `records`, or `knowledge`
    files: {train: CDR_TrainingSet.PubTator.txt, test: CDR_TestSet.PubTator.txt}
    documents: true

A corpus is added by adding a file; no code changes. docs/import.md lists the keys. Nothing is downloaded: a user puts the
files of a corpus below `runs/corpora/<key>`, and `etlch corpora` compares them with what its paper counted.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Literal

from etlch import yamlfile
from etlch.errors import EtlchError, ManyErrors
from etlch.records import Record, read_records
from etlch.sources.base import Options

FOLDER = Path("corpora")
ROOT = Path("runs/corpora")
SPLITS = ("train", "dev", "test")
SEED = 20260327  # of the splits of corpora whose release has none
_WHOLE = "all"

Split = Literal["train", "dev", "test"]


@dataclass(frozen=True, slots=True)
class Release:
    """One form in which a corpus is released.

    files: the file or folder of each split, or of `all` where the release has none, which is then divided by `shares`.
    documents: the records are documents, cut into sentences here. merge: every type becomes this one. options: as of
    `etlch import`. themes: of the topics, for the reader `knowledge`, which has no files.
    """

    reader: str
    name: str = ""
    files: dict[Literal["all", "train", "dev", "test"], str] = field(default_factory=dict)
    shares: dict[Split, float] = field(default_factory=dict)
    documents: bool = False
    merge: str = ""
    options: Options = field(default_factory=Options)
    themes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Corpus:
    """A corpus file. `folder`: where its files are, from the project's root (default: `<root>/<key>`).

    types: in the order of prompts; found ones that are not among them are refused (none: any will do). discontinuous:
    whether some mentions have several fragments. expected: the sentences that its paper counts; expected_shapes: what
    the paper says of nested and discontinuous ones; other_versions: names of versions by the sentences they have.
    """

    key: str
    name: str
    lang: str
    licence: str
    get: str
    releases: tuple[Release, ...]
    types: tuple[str, ...] = ()
    discontinuous: bool = False
    folder: str = ""
    hub: str = ""
    note: str = ""
    expected: dict[Split, int] = field(default_factory=dict)
    expected_shapes: dict[Literal["nested", "discontinuous"], str] = field(default_factory=dict)
    other_versions: dict[Split, dict[int, str]] = field(default_factory=dict)

    def place(self, root: Path = ROOT) -> Path:
        """The folder of its files."""
        return Path(self.folder) if self.folder else root / self.key

    def is_there(self, root: Path = ROOT) -> bool:
        """Whether anything of the corpus is below the root."""
        return self.place(root).is_dir()


_OF_RELEASE = [f.name for f in fields(Release) if f.name != "name"]
_KEYS = [*(f.name for f in fields(Corpus) if f.name != "key"), "release", *_OF_RELEASE]


@dataclass(frozen=True, slots=True)
class FoundCorpus:
    """A corpus as found: records a split (those whose file is there), and lines about how they were read."""

    corpus: Corpus
    release: Release
    splits: dict[str, list[Record]]
    notes: tuple[str, ...]
    missing: tuple[str, ...]


def load_corpora(folder: str | Path = FOLDER) -> list[Corpus]:
    """Every corpus of a folder, by file name. Raises ManyErrors with the problems of all the files."""
    return yamlfile.read_folder(folder, load_corpus, "corpus")


def load_corpus(path: str | Path) -> Corpus:
    """Read and check one corpus file. Raises ManyErrors with every problem, each naming file, line and key."""
    file = yamlfile.read(path, f"the keys {', '.join(_KEYS)}")
    single = {key: file.data.pop(key) for key in ("release", *_OF_RELEASE) if key in file.data}
    if single and "releases" in file.data:
        key = next(iter(single))
        raise ManyErrors([f"{file.where(key)}: {key}: found beside `releases` (expected within them)"])
    if "releases" not in file.data:  # the only one stands in the file itself, its name under `release`
        name = {"name": single.pop("release")} if "release" in single else {}
        file.data["releases"] = [single | name]
        file.lines.update({("releases", 0, *keys): line for keys, line in file.lines.items()})
    if "key" in file.data:
        raise ManyErrors([f"{file.where('key')}: unknown key 'key' (expected {', '.join(_KEYS)})"])
    file.data["key"] = file.path.stem
    corpus = yamlfile.build(Corpus, file, _KEYS)
    problems = [
        f"{file.where('releases', number, key)}: {key}: {problem}"
        for number, release in enumerate(corpus.releases)
        for key, problem in _problems(release)
    ]
    if problems:
        raise ManyErrors(problems)
    return corpus


def _problems(release: Release) -> Iterable[tuple[str, str]]:
    """(key, problem) of each value that is of the right kind and wrong all the same."""
    from etlch.sources import registry

    found = ", ".join(release.files) or "none"
    if release.reader not in (known := [*registry.readers(), "knowledge"]):
        yield "reader", f"found {release.reader!r} (expected one of {', '.join(known)})"
    elif release.reader == "knowledge" and release.files:
        yield "files", f"found {found} (expected none: knowledge reads the topics of its folder)"
    elif release.reader != "knowledge" and release.themes:
        yield "themes", f"found {', '.join(release.themes)} (expected none: only the reader knowledge has themes)"
    elif release.reader != "knowledge" and (not release.files or (_WHOLE in release.files and len(release.files) > 1)):
        yield "files", f"found {found} (expected some of train, dev and test, or `all` alone)"
    if _WHOLE not in release.files and release.shares:
        yield "shares", f"found {', '.join(release.shares)} (expected none: the files are of splits)"
    if _WHOLE in release.files and abs(sum(release.shares.values()) - 1) > 1e-9:
        yield "shares", f"found {release.shares} (expected shares of train, dev and test whose sum is 1)"


def find(names: Sequence[str], folder: str | Path = FOLDER) -> list[Corpus]:
    """The corpora of these names or keys, all of them without any. Raises EtlchError for an unknown one."""
    corpora = load_corpora(folder)
    known = {name: corpus for corpus in corpora for name in (corpus.name.lower(), corpus.key)}
    for name in names:
        if name.lower() not in known:
            raise EtlchError(f"unknown corpus {name!r} (expected one of {', '.join(c.key for c in corpora)})")
    wanted = {known[name.lower()].key for name in names}
    return [corpus for corpus in corpora if not names or corpus.key in wanted]


def load(corpus: Corpus, root: Path = ROOT) -> FoundCorpus:
    """Read what is there of a corpus, in the first of its releases that has a file.

    Raises EtlchError in one line for a folder without any of its files, a file that cannot be read, records that are
    refused (a corpus with holes is not the corpus), and types that are not the corpus's.
    """
    folder = corpus.place(root)
    release = next((r for r in corpus.releases if any((folder / f).exists() for f in files_of(r))), None)
    if release is None:
        expected = " or ".join(f"{', '.join(files_of(r))} ({r.name or r.reader})" for r in corpus.releases)
        raise EtlchError(f"{folder}: none of its files is there (expected {expected}; get them from {corpus.get})")
    if release.reader == "knowledge":
        return FoundCorpus(corpus, release, _knowledge(corpus, release, folder), (), ())
    splits: dict[str, list[Record]] = {}
    notes: list[str] = []
    missing: list[str] = []
    for split, name in release.files.items():
        if (folder / name).exists():
            splits[split] = _read(corpus, release, folder / name, split, notes)
        else:
            missing.append(f"{folder / name}: missing (expected the {split} split, {release.name or release.reader})")
    if _WHOLE in splits:
        splits = _divide(splits[_WHOLE], corpus.key, release.shares)
        shares = "/".join(f"{100 * release.shares.get(split, 0):.0f}" for split in SPLITS)
        notes.append(f"the release has no splits; {shares} by a shuffle with seed {SEED}")
    return FoundCorpus(corpus, release, splits, tuple(notes), tuple(missing))


def files_of(release: Release) -> list[str]:
    """What a release has in the folder of its corpus."""
    return list(release.files.values()) or ["."]


def _read(corpus: Corpus, release: Release, path: Path, split: str, notes: list[str]) -> list[Record]:
    from etlch.sources import registry, sentences

    if release.reader == "records":  # as they are, ids too
        records = list(read_records(path))
    else:
        options = replace(
            release.options,
            lang=release.options.lang or corpus.lang,
            id_prefix=release.options.id_prefix or f"{corpus.key}-{split}",
        )
        try:
            reading = registry.read(path, release.reader, options)
        except EtlchError as error:
            raise EtlchError(str(error).splitlines()[0]) from None
        report = reading.report
        if report.refused:
            raise EtlchError(f"{path}: {report.refused} records cannot be read, first {report.problems[0]}")
        notes += [f"{path.name}: {tally.count:,} repaired: {what}" for what, tally in report.repaired.items()]
        notes += [f"{path.name}: {what}" for what in report.notes]
        records = reading.records
    if release.merge:
        records = [_merged(record, release.merge) for record in records]
    strange = sorted({e.type for record in records for e in record.entities} - set(corpus.types))
    if corpus.types and strange:
        found = ", ".join(strange[:5])
        raise EtlchError(f"{path}: found the types {found} (expected {', '.join(corpus.types)}: another version?)")
    return [part for record in records for part in sentences.split(record)] if release.documents else records


def _merged(record: Record, kind: str) -> Record:
    return replace(record, entities=tuple(dict.fromkeys(replace(e, type=kind) for e in record.entities)), triples=())


def _divide(records: list[Record], key: str, shares: dict[Split, float]) -> dict[str, list[Record]]:
    shuffled = sorted(records, key=lambda record: record.id)
    random.Random(f"{SEED}/{key}").shuffle(shuffled)
    dev, test = (round(shares.get(split, 0) * len(shuffled)) for split in ("dev", "test"))
    train = len(shuffled) - dev - test
    parts = {"train": shuffled[:train], "dev": shuffled[train : train + dev], "test": shuffled[train + dev :]}
    return {split: part for split, part in parts.items() if part}


def _knowledge(corpus: Corpus, release: Release, folder: Path) -> dict[str, list[Record]]:
    """The topics of some themes in the corpus's language, a sentence a record, with the entities of its types.

    Train has every wording, dev (the validation topics) and test the first of each sentence.
    """
    from etlch.knowledge.topics import Topic, load_topics

    def wordings(topic: Topic, most: int | None) -> Iterable[Record]:
        for number, sentence in enumerate(topic.sentences, start=1):
            for version, wording in enumerate(sentence.wordings[:most], start=1):
                entities = tuple(e for e in wording.entities if not corpus.types or e.type in corpus.types)
                yield Record(f"{topic.slug}-{number}-{version}", wording.text, topic.lang, entities=entities)

    topics = [t for t in load_topics(folder) if t.lang == corpus.lang and t.theme in (release.themes or (t.theme,))]
    names = {"train": "train", "dev": "validation", "test": "test"}
    parts = {name: [topic for topic in topics if topic.split == split] for name, split in names.items()}
    if not all(parts.values()):
        themes = ", ".join(release.themes) or "any theme"
        raise EtlchError(
            f"{folder}: too few topics on {themes} (expected one at least for training, validation and testing)"
        )
    return {
        split: [r for topic in part for r in wordings(topic, None if split == "train" else 1)]
        for split, part in parts.items()
    }
