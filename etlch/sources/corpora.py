"""The eight corpora of the MF-NER paper: licence, where to get them, which files are read, and Table 1 beside our counts.

Nothing is downloaded or copied: a user puts the files where the table says, and `etlch corpora` reads them. A file that
is missing, not UTF-8 or of another version is named in one line; mixed line ends and the like are read and noted.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from pathlib import Path

from etlch.errors import EtlchError
from etlch.formats.round_trip import table
from etlch.records import Record
from etlch.sources import registry, sentences
from etlch.sources.base import Options
from etlch.sources.spans import shapes

ROOT = Path("runs/mfner/corpora")
SPLITS = ("train", "dev", "test")
SEED = 20260327  # of the splits of corpora whose release has none
_WHOLE = "all"
_SHARES = (0.70, 0.15, 0.15)  # Table 1: 661/142/142 of PGxCorpus, 5317/1140/1140 of CADEC


@dataclass(frozen=True, slots=True)
class Layout:
    """One form in which a corpus is released: its reader, and the file or folder of each split (`all`: the release has
    no splits). documents: the records are documents, cut into sentences here. merge: every type becomes this one."""

    name: str
    reader: str
    files: dict[str, str]
    documents: bool = False
    merge: str = ""


@dataclass(frozen=True, slots=True)
class Corpus:
    """A row of the table. `folder` is below the root; `table1`: sentences of train, dev and test; `shares`: what Table 1
    says of nested and discontinuous mentions; `other`: sentence counts of other versions, by their names."""

    name: str
    folder: str
    licence: str
    get: str
    hub: str
    types: tuple[str, ...]
    table1: tuple[int, int, int]
    layouts: tuple[Layout, ...]
    shares: dict[str, str] = field(default_factory=dict)
    discontinuous: bool = False
    other: dict[tuple[str, int], str] = field(default_factory=dict)
    note: str = ""


def _bio(merge: str = "") -> Layout:
    files = {"train": "train.tsv", "dev": "devel.tsv", "test": "test.tsv"}
    return Layout("BIO of MTL-Bioinformatics-2016", "bio", files, merge=merge)


_MTL = "github.com/cambridgeltl/MTL-Bioinformatics-2016, data/{}-IOB"
_PGX_TYPES = (
    "Chemical",
    "Disease",
    "Gene_or_protein",
    "Genomic_factor",
    "Genomic_variation",
    "Haplotype",
    "Limited_variation",
    "Pharmacodynamic_phenotype",
    "Pharmacokinetic_phenotype",
    "Phenotype",
)

CORPORA: tuple[Corpus, ...] = (
    Corpus(
        name="AnatEM",
        folder="anatem",
        licence="CC BY-SA 3.0",
        get=f"nactem.ac.uk/anatomytagger (AnatEM-1.0.2, standoff/); {_MTL.format('AnatEM')}",
        hub="bigbio/anat_em",
        types=("Anatomy",),
        table1=(5861, 2118, 3830),
        layouts=(
            _bio(),
            Layout(
                "BRAT, 12 types as one",
                "brat",
                {"train": "standoff/train", "dev": "standoff/devel", "test": "standoff/test"},
                documents=True,
                merge="Anatomy",
            ),
            Layout("BRAT without splits, 12 types as one", "brat", {_WHOLE: "brat"}, documents=True, merge="Anatomy"),
        ),
        note="the release has 12 types; Table 1 counts one label, as the BIO version has it",
    ),
    Corpus(
        name="BC2GM",
        folder="bc2gm",
        licence="CC BY 4.0 (as redistributed in BIO)",
        get=_MTL.format("BC2GM"),
        hub="spyysalo/bc2gm_corpus",
        types=("GENE",),
        table1=(12500, 2500, 5000),
        layouts=(_bio(),),
        other={("dev", 2519): "MTL-Bioinformatics-2016"},
    ),
    Corpus(
        name="BC4CHEMD",
        folder="bc4chemd",
        licence="free for research (BioCreative IV)",
        get=f"biocreative.bioinformatics.udel.edu, CHEMDNER corpus; {_MTL.format('BC4CHEMD')}",
        hub="bigbio/chemdner",
        types=("Chemical",),
        table1=(30682, 30639, 26364),
        layouts=(
            _bio(merge="Chemical"),
            Layout(
                "BioC, its types as one",
                "bioc",
                {"train": "training.bioc.xml", "dev": "development.bioc.xml", "test": "evaluation.bioc.xml"},
                documents=True,
                merge="Chemical",
            ),
        ),
    ),
    Corpus(
        name="BC5CDR",
        folder="bc5cdr",
        licence="public domain; the BIO version CC BY 4.0",
        get=f"biocreative.bioinformatics.udel.edu, CDR_Data.zip; {_MTL.format('BC5CDR')}",
        hub="bigbio/bc5cdr",
        types=("Chemical", "Disease"),
        table1=(4560, 4581, 4797),
        layouts=(
            _bio(),
            Layout(
                "PubTator",
                "pubtator",
                {
                    "train": "CDR_TrainingSet.PubTator.txt",
                    "dev": "CDR_DevelopmentSet.PubTator.txt",
                    "test": "CDR_TestSet.PubTator.txt",
                },
                documents=True,
            ),
            Layout(
                "BioC",
                "bioc",
                {
                    "train": "CDR_TrainingSet.BioC.xml",
                    "dev": "CDR_DevelopmentSet.BioC.xml",
                    "test": "CDR_TestSet.BioC.xml",
                },
                documents=True,
            ),
        ),
    ),
    Corpus(
        name="CADEC",
        folder="cadec",
        licence="CSIRO Data Licence: research only, no redistribution",
        get="data.csiro.au/collection/csiro:10948 (CADEC.v2.zip); then: cp cadec/text/*.txt cadec/original/",
        hub="",
        types=("ADR", "Drug", "Disease", "Symptom", "Finding"),
        table1=(5317, 1140, 1140),
        layouts=(Layout("BRAT, texts beside the annotations", "brat", {_WHOLE: "original"}, documents=True),),
        shares={"discontinuous": "6.5-8.5%"},
        discontinuous=True,
        note="texts and annotations come in two folders, which the reader wants together",
    ),
    Corpus(
        name="GENIA",
        folder="genia",
        licence="GENIA project licence",
        get="geniaproject.org; as layers: github.com/thecharm/boundary-aware-nested-ner",
        hub="bigbio/genia_term_corpus",
        types=("DNA", "RNA", "cell_line", "cell_type", "protein"),
        table1=(15023, 1669, 1854),
        layouts=(
            Layout(
                "BIO in layers",
                "layered-bio",
                {"train": "genia.train.iob2", "dev": "genia.dev.iob2", "test": "genia.test.iob2"},
            ),
            Layout(
                "JSON lines of tokens",
                "tokens",
                {"train": "train.jsonlines", "dev": "dev.jsonlines", "test": "test.jsonlines"},
            ),
        ),
        shares={"nested": "2-2.5%"},
        other={("dev", 1765): "the split of yhcc/CNN_Nested_NER"},
    ),
    Corpus(
        name="NCBI Disease",
        folder="ncbi",
        licence="public domain",
        get=f"ncbi.nlm.nih.gov/CBBresearch/Dogan/DISEASE; {_MTL.format('NCBI-disease')}",
        hub="bigbio/ncbi_disease",
        types=("Disease",),
        table1=(5432, 923, 940),
        layouts=(
            _bio(),
            Layout(
                "PubTator, its 4 types as one",
                "pubtator",
                {
                    "train": "NCBItrainset_corpus.txt",
                    "dev": "NCBIdevelopset_corpus.txt",
                    "test": "NCBItestset_corpus.txt",
                },
                documents=True,
                merge="Disease",
            ),
        ),
    ),
    Corpus(
        name="PGxCorpus",
        folder="pgxcorpus",
        licence="CC BY-NC 4.0",
        get="github.com/practikpharma/PGxCorpus (PGxCorpus.tar), unpacked as pgxcorpus/brat",
        hub="",
        types=_PGX_TYPES,
        table1=(661, 142, 142),
        layouts=(Layout("BRAT, a sentence a file", "brat", {_WHOLE: "brat"}),),
        shares={"nested": "4-4.5%", "discontinuous": "0.8-1.8%"},
        discontinuous=True,
    ),
)


@dataclass(frozen=True, slots=True)
class Loaded:
    """A corpus as found: sentences a split (those whose file is there), and lines about how they were read."""

    corpus: Corpus
    layout: Layout
    splits: dict[str, list[Record]]
    notes: tuple[str, ...]
    missing: tuple[str, ...]


def find(names: Sequence[str]) -> list[Corpus]:
    """The corpora of these names or folders, all of them without any. Raises EtlchError for an unknown one."""
    known = {key: corpus for corpus in CORPORA for key in (corpus.name.lower(), corpus.folder)}
    for name in names:
        if name.lower() not in known:
            raise EtlchError(f"unknown corpus {name!r} (expected one of {', '.join(c.folder for c in CORPORA)})")
    wanted = {known[name.lower()].folder for name in names}
    return [corpus for corpus in CORPORA if not names or corpus.folder in wanted]


def is_there(corpus: Corpus, root: Path) -> bool:
    """Whether anything of the corpus is below the root."""
    return (root / corpus.folder).is_dir()


def load(corpus: Corpus, root: Path) -> Loaded:
    """Read what is there of a corpus, in the first of its layouts that has a file.

    Raises EtlchError in one line for a folder without any of its files, a file that cannot be read, records that are
    refused (a corpus with holes is not the corpus), and types that are not the corpus's.
    """
    folder = root / corpus.folder
    layout = next((la for la in corpus.layouts if any((folder / f).exists() for f in la.files.values())), None)
    if layout is None:
        expected = " or ".join(f"{', '.join(la.files.values())} ({la.name})" for la in corpus.layouts)
        raise EtlchError(f"{folder}: none of its files is there (expected {expected}; get them from {corpus.get})")
    splits: dict[str, list[Record]] = {}
    notes: list[str] = []
    missing: list[str] = []
    for split, name in layout.files.items():
        if not (folder / name).exists():
            missing.append(f"{folder / name}: missing (expected the {split} split, {layout.name})")
            continue
        splits[split] = _read(corpus, layout, folder / name, split, notes)
    if _WHOLE in splits:
        splits = _divide(splits[_WHOLE], corpus)
        notes.append(f"the release has no splits; {_percent(_SHARES)} by a shuffle with seed {SEED}")
    return Loaded(corpus, layout, splits, tuple(notes), tuple(missing))


def _read(corpus: Corpus, layout: Layout, path: Path, split: str, notes: list[str]) -> list[Record]:
    prefix = f"{corpus.folder}-{split}"
    try:
        reading = registry.read(path, layout.reader, Options(lang="en", id_prefix=prefix))
    except EtlchError as error:
        raise EtlchError(str(error).splitlines()[0]) from None
    report = reading.report
    if report.refused:
        raise EtlchError(f"{path}: {report.refused} records cannot be read, first {report.problems[0]}")
    notes += [f"{path.name}: {tally.count:,} repaired: {what}" for what, tally in report.repaired.items()]
    notes += [f"{path.name}: {what}" for what in report.notes]
    records = [_merged(record, layout.merge) for record in reading.records]
    strange = sorted({e.type for record in records for e in record.entities} - set(corpus.types))
    if strange:
        found = ", ".join(strange[:5])
        raise EtlchError(f"{path}: found the types {found} (expected {', '.join(corpus.types)}: another version?)")
    return [part for record in records for part in sentences.split(record)] if layout.documents else records


def _merged(record: Record, kind: str) -> Record:
    if not kind:
        return record
    return replace(record, entities=tuple(dict.fromkeys(replace(e, type=kind) for e in record.entities)), triples=())


def _divide(records: list[Record], corpus: Corpus) -> dict[str, list[Record]]:
    shuffled = sorted(records, key=lambda record: record.id)
    random.Random(f"{SEED}/{corpus.folder}").shuffle(shuffled)
    held_out = round(_SHARES[1] * len(shuffled))
    first = len(shuffled) - 2 * held_out
    return {
        "train": shuffled[:first],
        "dev": shuffled[first : first + held_out],
        "test": shuffled[first + held_out :],
    }


def _percent(shares: Sequence[float]) -> str:
    return "/".join(f"{100 * share:.0f}" for share in shares)


# --- the listing ---

HOW = """\
sentences      records of the files; of releases in documents, what etlch/sources/sentences.py cuts out of them
mentions       distinct (type, place), so one that a file has twice counts once
nested         share of the mentions whose extent lies within that of another mention of the sentence
discontinuous  share of the mentions that have more than one fragment
Table 1        the paper's sentences; its shares are ranges over the three splits, counted it does not say how"""

_HEAD = ("split", "sentences", "Table 1", "mentions", "types", "nested", "discontinuous", "verdict")


def describe(corpus: Corpus, root: Path) -> list[str]:
    """What is known of a corpus, one line an item, before any file is read."""
    files = [f"{corpus.folder}/{{{', '.join(la.files.values())}}} ({la.name})" for la in corpus.layouts]
    shares = "".join(f", {kind} {share}" for kind, share in corpus.shares.items())
    lines = [
        f"{corpus.name}  [{corpus.licence}]",
        f"  get       {corpus.get}",
        f"  Hub       {corpus.hub or 'no copy known'}",
        *(f"  {word:<9} {line}" for word, line in zip_longest(("expects",), files, fillvalue="or")),
        f"  Table 1   {' / '.join(f'{n:,}' for n in corpus.table1)} sentences, {len(corpus.types)} labels{shares}",
    ]
    if corpus.note:
        lines.append(f"  note      {corpus.note}")
    if not is_there(corpus, root):
        lines.append(f"  not here  ({root / corpus.folder})")
    return lines


def compare(loaded: Loaded) -> list[str]:
    """Our counts beside Table 1's, and how the files were read."""
    rows = [_HEAD, *_rows(loaded)]
    lines = [f"  read as   {loaded.layout.name}", *(f"  note      {note}" for note in loaded.notes)]
    lines += [f"  {line}" for line in table(rows).splitlines()]
    return [*lines, *(f"  missing   {line}" for line in loaded.missing)]


def _rows(loaded: Loaded) -> Iterator[list[str]]:
    corpus = loaded.corpus
    for split, expected in zip(SPLITS, corpus.table1, strict=True):
        records = loaded.splits.get(split)
        if records is None:
            yield [split, "-", f"{expected:,}", "-", "-", "-", "-", "missing"]
            continue
        counted = count(records)
        cells = [f"{len(records):,}", f"{expected:,}", f"{counted['mentions']:,}", f"{counted['types']}"]
        shares = [_share(counted[kind], counted["mentions"]) for kind in ("nested", "discontinuous")]
        yield [split, *cells, *shares, _verdict(corpus, loaded.layout, split, len(records), expected)]


def count(records: Sequence[Record]) -> Counter[str]:
    """Sentences, mentions, types, and nested, crossing and discontinuous mentions, counted as HOW says."""
    found: Counter[str] = Counter(sentences=len(records))
    kinds: set[str] = set()
    for record in records:
        distinct = tuple(dict.fromkeys(record.entities))
        found["mentions"] += len(distinct)
        found.update(shapes(distinct))
        kinds |= {entity.type for entity in distinct}
    found["types"] = len(kinds)
    return found


def _share(part: int, whole: int) -> str:
    return f"{part:,} ({100 * part / whole:.1f}%)" if whole else "-"


def _verdict(corpus: Corpus, layout: Layout, split: str, found: int, expected: int) -> str:
    if found == expected:
        return "as in Table 1"
    if known := corpus.other.get((split, found)):
        return f"another version: {known}"
    if layout.documents:
        return f"{found / expected:.0%} of Table 1; cut into sentences here"
    return f"another version, or a part: {found / expected:.0%} of Table 1"
