"""The eight corpora: counts against the paper's Table 1 and PROVENANCE.md, the two readers for them, and bad folders."""

import functools
import shutil

import pytest

from etlch import cli
from etlch import corpora as table
from etlch.commands.corpora import compare, count
from etlch.errors import EtlchError, ManyErrors
from etlch.records import Entity, Record, read_records
from etlch.sources import registry, sentences
from etlch.sources.base import Options

# the paper's Table 1: train, dev, test, labels
TABLE_1 = {
    "AnatEM": (5861, 2118, 3830, 1),
    "BC2GM": (12500, 2500, 5000, 1),
    "BC4CHEMD": (30682, 30639, 26364, 1),
    "BC5CDR": (4560, 4581, 4797, 2),
    "CADEC": (5317, 1140, 1140, 5),
    "GENIA": (15023, 1669, 1854, 5),
    "NCBI Disease": (5432, 923, 940, 1),
    "PGxCorpus": (661, 142, 142, 10),
}


def corpus(name: str) -> table.Corpus:
    return table.find([name])[0]


def test_the_table_is_table_1():
    found = [c for c in table.load_corpora() if c.expected]
    assert {c.name: (*(c.expected[s] for s in table.SPLITS), len(c.types)) for c in found} == TABLE_1
    # section 4.1: discontinuous mentions in CADEC and PGxCorpus only
    assert [c.name for c in found if c.discontinuous] == ["CADEC", "PGxCorpus"]


@pytest.fixture(scope="module")
def loaded(corpora):
    """Samples by folder, each read once."""
    return functools.cache(lambda name: table.load(corpus(name), corpora))


@pytest.mark.parametrize(
    ("name", "split", "expected", "verdict"),
    [
        # sentences and mentions: PROVENANCE.md, and grep -c on the files (tests/sources/test_import_corpora.py)
        ("bc5cdr", "train", (4560, 9385, 2), "as in the paper"),
        ("bc5cdr", "dev", (4581, 9593, 2), "as in the paper"),
        ("ncbi", "dev", (923, 787, 1), "as in the paper"),
        ("bc2gm", "dev", (2519, 3061, 1), "another version: MTL-Bioinformatics-2016"),
        ("genia", "dev", (1669, 3983 + 354, 5), "as in the paper"),
    ],
)
def test_counts_of_the_samples(loaded, name, split, expected, verdict):
    sample = loaded(name)
    counted = count(sample.splits[split])
    assert (counted["sentences"], counted["mentions"], counted["types"]) == expected
    assert verdict in next(line for line in compare(sample) if line.startswith(f"  {split} "))


def test_a_release_without_splits_is_divided_without_loss(corpora):
    loaded = table.load(corpus("pgxcorpus"), corpora)
    assert {split: len(records) for split, records in loaded.splits.items()} == {"train": 210, "dev": 45, "test": 45}
    ids = [record.id for records in loaded.splits.values() for record in records]
    assert len(set(ids)) == 300
    assert loaded.splits == table.load(corpus("pgxcorpus"), corpora).splits


def test_documents_cut_into_sentences_lose_no_mention(corpora):
    """1189: cat anatem/brat/*.ann | grep -c ^T"""
    loaded = table.load(corpus("anatem"), corpora)
    records = [record for split in loaded.splits.values() for record in split]
    assert count(records)["mentions"] == 1189
    assert {e.type for r in records for e in r.entities} == {"Anatomy"}
    assert all("\n" not in record.text for record in records)


def test_where_sentences_end():
    text = 'It binds IL-2, e.g. In T cells (Fig. 2A). E. coli grew. "Yes." Next\nLine 4.5 ends。是'
    cut = [part.text for part in sentences.split(Record("d", text))]
    assert cut == [
        "It binds IL-2, e.g. In T cells (Fig. 2A).",
        "E. coli grew.",
        '"Yes."',
        "Next",
        "Line 4.5 ends。",
        "是",
    ]


def test_no_sentence_ends_inside_a_mention():
    text = "Seen in St. Louis. Twice"
    record = Record(
        "d", text, entities=(Entity("St. Louis", "place", ((8, 17),)), Entity("Seen Louis", "x", ((0, 4), (12, 17))))
    )
    assert [part.text for part in sentences.split(record)] == ["Seen in St. Louis.", "Twice"]
    moved = Record("e", f"No. {text}", entities=(Entity("St. Louis", "place", ((12, 21),)),))
    (_, *rest) = sentences.split(moved)
    assert rest == [] or rest[0].entities == ()  # `No.` is an abbreviation: one sentence, then Twice
    assert next(sentences.split(moved)).entities[0].spans == ((12, 21),)


PUBTATOR = (
    "227508|t|Naloxone reverses.\n227508|a|In rats, clonidine.\n"
    "227508\t0\t8\tNaloxone\tChemical\tD009270\n227508\t28\t37\tclonidine\tChemical\tD003000\n"
    "227508\tCID\tD003000\tD007022\n\n5|t|Nothing here.\n5|a|\n\n"
)
BIOC = """<?xml version='1.0' encoding='UTF-8'?><!DOCTYPE collection SYSTEM 'BioC.dtd'>
<collection><source>t</source><document><id>227508</id>
<passage><infon key="type">title</infon><offset>0</offset><text>Naloxone &amp; rats.</text>
<annotation id="0"><infon key="type">Chemical</infon><location offset="0" length="8"/><text>Naloxone</text></annotation></passage>
<passage><offset>17</offset><text>Renal and hepatic failure.</text>
<annotation id="1"><infon key="type">Disease</infon><location offset="17" length="5"/><location offset="35" length="7"/>
<text>Renal failure</text></annotation></passage></document></collection>
"""


def read(path, text, name="", encoding="utf-8"):
    path.write_bytes(text.encode(encoding))
    return registry.read(path, name, Options())


def test_pubtator(tmp_path):
    reading = read(tmp_path / "a.txt", PUBTATOR)
    first, second = reading.records
    assert (reading.reader.name, first.id, first.text) == (
        "pubtator",
        "227508",
        "Naloxone reverses. In rats, clonidine.",
    )
    assert first.entities == (Entity("Naloxone", "Chemical", ((0, 8),)), Entity("clonidine", "Chemical", ((28, 37),)))
    assert second.entities == ()
    assert any("relations between concepts" in what for what in reading.report.notes)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("\t28\t37", "\t27\t36"), "slices to ' clonidin' (expected 'clonidine')"),
        (("227508\t0\t8", "9\t0\t8"), "found the id '9' (expected '227508'"),
        (("\tChemical\tD009270", ""), "expected id, start, end, text and type"),
        (("227508|t|Naloxone reverses.\n", ""), "expected a title line such as"),
    ],
)
def test_bad_pubtator_is_refused_with_its_line(tmp_path, change, expected):
    reading = read(tmp_path / "a.txt", PUBTATOR.replace(*change), "pubtator")
    assert reading.report.refused == 1
    assert any(expected in problem and "a.txt:" in problem for problem in reading.report.problems)


def test_bioc_with_fragments(tmp_path):
    reading = read(tmp_path / "a.xml", BIOC)
    (record,) = reading.records
    assert (reading.reader.name, record.text) == ("bioc", "Naloxone & rats. Renal and hepatic failure.")
    assert record.entities == (
        Entity("Naloxone", "Chemical", ((0, 8),)),
        Entity("Renal failure", "Disease", ((17, 22), (35, 42))),
    )


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("</document>", ""), "a.xml:7: not XML"),
        (("collection>", "html>"), "expected <collection>"),
        (('offset="0"', 'offset="zero"'), "found 'zero' (expected a whole number)"),
        (("<offset>17", "<offset>3"), "a passage at offset 3 overlaps the text before it"),
        (("'BioC.dtd'", "'BioC.dtd' [<!ENTITY a 'b'>]"), "declares entities"),
    ],
)
def test_bad_bioc(tmp_path, change, expected):
    with pytest.raises(EtlchError) as error:
        read(tmp_path / "a.xml", BIOC.replace(*change), "bioc")
    assert expected in str(error.value)


@pytest.fixture
def folder(tmp_path):
    """A corpus root with a small NCBI Disease of three sentences a split."""
    rows = "BRCA1\tO\nin\tO\nbreast\tB-Disease\ncancer\tI-Disease\n.\tO\n\n" * 3
    (tmp_path / "ncbi").mkdir()
    for name in ("train", "devel", "test"):
        (tmp_path / "ncbi" / f"{name}.tsv").write_text(rows)
    return tmp_path


def test_missing_split(folder, capsys):
    (folder / "ncbi" / "test.tsv").unlink()
    assert cli.main(["corpora", "--root", str(folder), "ncbi"]) == 0
    shown = capsys.readouterr().out
    assert "test.tsv: missing (expected the test split" in shown
    assert "another version, or a part: 0% of the paper's" in shown
    assert "sentences      records of the files" in shown


def test_mixed_line_ends_are_read_and_noted(folder):
    path = folder / "ncbi" / "train.tsv"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n", 4))
    loaded = table.load(corpus("ncbi"), folder)
    assert "train.tsv: mixed line ends (4 CRLF, 14 LF)" in loaded.notes
    assert loaded.splits["train"][0].text == "BRCA1 in breast cancer ."


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (lambda f: f.write_bytes("née\tO\n".encode("latin-1")), "not UTF-8"),
        (
            lambda f: f.write_bytes(f.read_bytes().replace(b"Disease", b"Gene")),
            "found the types Gene (expected Disease: another",
        ),
        (lambda f: f.write_bytes(f.read_bytes() + b"word\n\n"), "1 records cannot be read"),
        (lambda f: f.write_bytes(b""), "the file is empty"),
    ],
)
def test_a_bad_file_is_one_line(folder, capsys, spoil, expected):
    spoil(folder / "ncbi" / "devel.tsv")
    assert cli.main(["corpora", "--root", str(folder), "ncbi"]) == 1
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("  error"))
    assert expected in line and "devel.tsv" in line


def test_an_empty_folder_and_unknown_names(folder, capsys):
    shutil.rmtree(folder / "ncbi")
    (folder / "ncbi").mkdir()
    assert cli.main(["corpora", "--root", str(folder), "ncbi"]) == 1
    assert "none of its files is there (expected train.tsv, devel.tsv, test.tsv" in capsys.readouterr().out
    assert cli.main(["corpora", "--root", str(folder), "nbci"]) == 2
    assert cli.main(["corpora", "--root", str(folder / "no")]) == 2


def test_the_listing_needs_no_corpus(tmp_path, capsys):
    assert cli.main(["corpora", "--root", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert shown.count("not here") == 8 and "30,682 / 30,639 / 26,364 sentences" in shown


def test_this_repositorys_own_corpora():
    etlch, biomedical = (table.load(corpus(name)) for name in ("etlch", "etlch biomedical"))
    assert etlch.splits["test"] == list(read_records("data/etlch/test.jsonl"))  # ids too
    assert {split: len(records) for split, records in etlch.splits.items()} == {"train": 1000, "dev": 100, "test": 300}
    assert biomedical.splits["train"][0].id.endswith("-1-1") and biomedical.corpus.lang == "zh-TW"


def written(folder, text: str):
    path = folder / "own.yaml"
    path.write_text("name: Own\nlang: en\nlicence: mine\nget: here\n" + text, encoding="utf-8")
    return path


def test_an_own_corpus_of_documents_without_splits(tmp_path):
    """A CoNLL file of twenty two-sentence documents; nine tenths for training, nothing held out for validation."""
    rows = "In\tO\tO\nRome\tO\tB-place\n.\tO\tO\nAda\tO\tB-person\nslept\tO\tO\n.\tO\tO\n\n"
    (tmp_path / "all.tsv").write_text(rows * 20)
    text = f"folder: {tmp_path}\nreader: bio\nfiles: {{all: all.tsv}}\nshares: {{train: 0.9, test: 0.1}}\n"
    own = table.load_corpus(written(tmp_path, f"{text}documents: true\nmerge: name\noptions: {{columns: [1, 3]}}\n"))
    loaded = table.load(own)
    assert {split: len(records) for split, records in loaded.splits.items()} == {"train": 36, "test": 4}
    first = loaded.splits["test"][0]
    assert first.id.startswith("own-all-") and first.id.endswith(("-s1", "-s2")) and first.lang == "en"
    assert {e.type for records in loaded.splits.values() for r in records for e in r.entities} == {"name"}
    assert "90/0/10 by a shuffle" in loaded.notes[-1] and "own: " not in compare(loaded)[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("reader: bio\nfiles: {train: a.tsv}\nlicense: b\n", "own.yaml:7: unknown key 'license' (expected name, lang"),
        ("releases:\n- {reader: bio, nme: a}\n", "own.yaml:6: unknown key 'nme' (expected reader, name, files"),
        ("types: Drug\nreader: bio\nfiles: {train: a}\n", "own.yaml:5: types: found 'Drug' (expected a valid list)"),
        ("reader: bio\nfiles: {valid: a}\n", "own.yaml:6: valid: found 'valid' (expected 'all', 'train', 'dev'"),
        ("reader: bio\n", "own.yaml:1: files: found none (expected some of train, dev and test"),
        ("reader: boi\nfiles: {train: a}\n", "own.yaml:5: reader: found 'boi' (expected one of bio, "),
        ("reader: bio\nfiles: {all: a}\nshares: {train: 0.8}\n", "own.yaml:7: shares: found {'train': 0.8} (expected"),
        ("reader: bio\nfiles: {dev: a}\nreleases: []\n", "own.yaml:5: reader: found beside `releases`"),
        ("files: {dev: a}\n", "own.yaml:1: reader: missing"),
        ("reader: bio\nfiles: {dev: a}\nkey: mine\n", "own.yaml:7: unknown key 'key' (expected name, lang"),
        ("reader: bio\nfiles: {dev: a}\nthemes: [x]\n", "own.yaml:7: themes: found x (expected none"),
        ("reader: knowledge\nfiles: {dev: a}\n", "own.yaml:6: files: found dev (expected none"),
        ("reader: bio\nfiles: {dev: a}\nshares: {dev: 1}\n", "own.yaml:7: shares: found dev (expected none"),
    ],
)
def test_a_mistake_in_a_corpus_file_is_one_error(tmp_path, text, expected):
    written(tmp_path, text)
    with pytest.raises(EtlchError) as error:
        table.load_corpora(tmp_path)
    assert str(error.value).startswith(str(tmp_path)) and expected in str(error.value)


def test_every_corpus_file_is_checked_and_has_a_name_of_its_own(tmp_path):
    path = written(tmp_path, "reader: bio\nfiles: {dev: a}\n")
    (tmp_path / "own2.yaml").write_text(path.read_text("utf-8"), encoding="utf-8")
    (tmp_path / "bad.yaml").write_text("name: Bad\n", encoding="utf-8")
    with pytest.raises(ManyErrors) as error:
        table.load_corpora(tmp_path)
    assert f"{tmp_path / 'bad.yaml'}:1: lang: missing" in error.value.problems
    assert error.value.problems[-1] == f"{tmp_path / 'own2.yaml'}: name: 'Own' again (expected a name of its own)"
    with pytest.raises(EtlchError, match="no corpus"):
        table.load_corpora(tmp_path / "none")
