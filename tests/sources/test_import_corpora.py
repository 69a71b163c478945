"""The real corpora: every mention accounted for, and written out again from the records.

Expected counts come from outside: PROVENANCE.md, grep and awk on the files (commands in the comments), seqeval, and
conlleval's own result file. They are skipped where ../shared/data is absent.
"""

import csv
import json
import re
from collections import Counter

import pytest
from seqeval.metrics.sequence_labeling import get_entities

from etlch.sources import registry
from etlch.sources.base import Options

# sentences: awk 'BEGIN{RS=""}{n++}END{print n}' (and PROVENANCE.md); mentions: grep -c $'\tB-'
FLAT = {
    "bc5cdr/train.tsv": (4560, 9385),
    "bc5cdr/devel.tsv": (4581, 9593),
    "ncbi/devel.tsv": (923, 787),
    "bc2gm/devel.tsv": (2519, 3061),
    "crossner/ai/train.txt": (100, 532),
    "crossner/ai/dev.txt": (350, 1549),
    "crossner/ai/test.txt": (431, 1809),
    "crossner/politics/train.txt": (200, 1304),
    "crossner/politics/dev.txt": (541, 3482),
    "crossner/politics/test.txt": (651, 4209),
}


@pytest.fixture
def read(corpora):
    def run(name: str, **options):
        path = corpora / name
        if not path.exists():
            pytest.skip(f"{path} is not there")
        return registry.read(path, "", Options(**options))

    return run


def files(reading, **options) -> dict[str, str]:
    return reading.reader.write(reading.records, Options(**options)).files


def sentences(path) -> list[list[list[str]]]:
    """The columns of each sentence, read without the code under test."""
    blocks = path.read_text("utf-8").strip("\n").split("\n\n")
    return [[re.split(r"[\t ]", line) for line in block.split("\n")] for block in blocks]


def by_seqeval(path, column: int = -1, suffix: bool = False) -> list[list[tuple]]:
    return [get_entities([row[column] for row in sentence], suffix) for sentence in sentences(path)]


def by_tokens(reading) -> list[list[tuple]]:
    """(type, first token, last token) of each mention, from the records' offsets."""
    out = []
    for record in reading.records:
        starts = {0: 0} | {m.end(): n for n, m in enumerate(re.finditer(" ", record.text), start=1)}
        spans = [(e.type, *e.spans[0]) for e in record.entities]
        out.append([(kind, starts[s], record.text.count(" ", 0, e)) for kind, s, e in spans])
    return out


@pytest.mark.parametrize("name", FLAT)
def test_flat_corpora(read, corpora, name):
    reading = read(name)
    assert reading.reader.name == "bio"
    assert (reading.report.records, reading.report.mentions) == FLAT[name]
    assert (reading.report.refused, reading.report.repaired, reading.report.notes) == (0, {}, {})
    assert by_tokens(reading) == by_seqeval(corpora / name)
    assert files(reading)[""] == (corpora / name).read_bytes().decode()


@pytest.mark.parametrize(
    ("name", "sentence_count", "beginnings", "openings"),
    [
        # beginnings: grep -c $'\tB-'; openings: I- whose predecessor is O, a blank line or of another type (awk)
        ("weibo/weiboNER_2nd_conll.train", 1350, 1885, {"O": 9, "another type": 1}),
        ("weibo/weiboNER_2nd_conll.dev", 270, 389, {}),
    ],
)
def test_weibo(read, corpora, name, sentence_count, beginnings, openings):
    reading = read(name)
    assert reading.report.records == sentence_count
    assert reading.report.mentions == beginnings + sum(openings.values())
    counted = {what.split("I- after ")[1].split(",")[0]: t.count for what, t in reading.report.repaired.items()}
    assert counted == openings
    assert [len(r.entities) for r in reading.records] == [len(found) for found in by_seqeval(corpora / name)]
    expected = [
        "".join(re.sub(r"(?<=.)\d+$", "", row[0]) for row in sentence) for sentence in sentences(corpora / name)
    ]
    assert [r.text for r in reading.records] == expected


def test_weibo_written_loses_digits_and_i_tags_only(read, corpora):
    reading = read("weibo/weiboNER_2nd_conll.train")
    source = (corpora / "weibo/weiboNER_2nd_conll.train").read_text("utf-8").splitlines()
    alone = files(reading)[""].splitlines()
    tags = [line.split("\t")[1] if line else "" for line in source if not line.startswith("\ufffd")]
    ours = [line.split("\t")[1] if line else "" for line in alone if not line.startswith("\ufffd")]
    assert Counter(zip(tags, ours, strict=True)) - Counter({(t, t): n for t, n in Counter(tags).items()}) == {
        ("I-PER.NOM", "B-PER.NOM"): 6,
        ("I-PER.NAM", "B-PER.NAM"): 4,
    }


def test_genia_layers(read, corpora):
    reading = read("genia/genia.dev.iob2")
    path = corpora / "genia/genia.dev.iob2"
    assert reading.reader.name == "layered-bio"
    # cut -f$k | grep -c '^B-': 3983 in the first layer, 354 in the second, none in the others
    assert (reading.report.records, reading.report.mentions) == (1669, 3983 + 354)
    layers = [by_seqeval(path, column) for column in (1, 2, 3, 4)]
    assert [sorted(found) for found in by_tokens(reading)] == [
        sorted(mention for layer in found for mention in layer) for found in zip(*layers, strict=True)
    ]
    assert files(reading, layers=4)[""] == path.read_text("utf-8")


def test_genia_jsonlines(read, corpora):
    reading = read("genia/dev.jsonlines")
    path = corpora / "genia/dev.jsonlines"
    assert reading.reader.name == "tokens"
    # wc -l; grep -o '"entity_type"' | wc -l
    assert (reading.report.records, reading.report.mentions, reading.report.refused) == (1765, 4714, 0)
    assert not reading.report.repaired
    rows = [json.loads(line)["entity_mentions"] for line in path.read_text("utf-8").splitlines()]
    expected = [Counter((m["entity_type"], m["text"]) for m in mentions) for mentions in rows]
    assert [Counter((e.type, e.text) for e in r.entities) for r in reading.records] == expected
    again = [json.loads(line) for line in files(reading)[""].splitlines()]  # tokens with blanks in them become several
    assert [Counter((m["entity_type"], m["text"]) for m in row["entity_mentions"]) for row in again] == expected


def t_lines(files: dict[str, str]) -> Counter:
    """(file, type and offsets, text without blanks at its end) of each T line, read without the code under test."""
    rows = (
        (name, *line.split("\t")[1:3])
        for name, text in files.items()
        if name.endswith(".ann")
        for line in text.split("\n")
        if line.startswith("T")
    )
    return Counter((name, where, text.rstrip(" ")) for name, where, text in rows)


@pytest.mark.parametrize(
    ("name", "documents", "mentions", "relations", "blanks", "discontinuous", "notes"),
    [
        # ls *.txt | wc -l; then on all .ann: grep -c '^T', '^R'; grep '^T' | grep -c ' $'; cut -f2 | grep -c ';'; '^#'
        ("anatem/brat", 150, 1189, 0, 0, 0, 0),
        ("pgxcorpus/brat", 300, 2081, 845, 981, 115, 221),
    ],
)
def test_brat_corpora(read, corpora, name, documents, mentions, relations, blanks, discontinuous, notes):
    reading = read(name)
    report = reading.report
    assert (report.records, report.mentions, report.triples, report.refused) == (documents, mentions, relations, 0)
    assert sum(t.count for t in report.repaired.values()) == blanks
    assert report.shapes["discontinuous"] == discontinuous
    assert sum(t.count for t in report.notes.values()) == notes
    source = {path.name: path.read_bytes().decode() for path in (corpora / name).iterdir()}
    alone = files(reading)  # new T numbers, no notes, no blank after a text; the same annotations
    assert t_lines(alone) == t_lines(source)
    assert sum(text.count("\nR") for name, text in alone.items() if name.endswith(".ann")) == relations


def test_conlleval(read, corpora):
    """The gold and the found phrases, and those of both, as conlleval's result file counts them."""
    result = (corpora / "golden/conlleval/result.txt").read_text("utf-8")
    total, guessed, correct = map(
        int, re.search(r"with (\d+) phrases; found: (\d+) phrases; correct: (\d+)", result).groups()
    )
    by_type = {kind: int(n) for kind, n in re.findall(r"^ *(\w+): precision.*FB1: +[\d.]+ +(\d+)", result, re.M)}
    gold = read("golden/conlleval/output.txt", columns=("1", "3"))
    found = read("golden/conlleval/output.txt", columns=("1", "4"))
    assert (gold.report.mentions, found.report.mentions) == (total, guessed)
    assert found.report.types == by_type
    both = sum(len(set(g.entities) & set(f.entities)) for g, f in zip(gold.records, found.records, strict=True))
    assert both == correct


@pytest.mark.parametrize(("name", "suffix"), [("ground_truth.txt", False), ("ground_truth_inv.txt", True)])
def test_seqeval(read, corpora, name, suffix):
    path = corpora / "golden/seqeval" / name
    for column in ("3", "4"):
        reading = read(f"golden/seqeval/{name}", columns=("1", column))
        assert by_tokens(reading) == by_seqeval(path, int(column) - 1, suffix)


def test_a_corpus_in_another_encoding_is_named_and_read(read, corpora, tmp_path):
    """Weibo's text in GB18030, as such corpora often come."""
    text = (corpora / "weibo/weiboNER_2nd_conll.dev").read_text("utf-8")
    path = tmp_path / "gb.conll"
    path.write_bytes(text.encode("gb18030"))
    with pytest.raises(Exception, match=r"gb\.conll:1: not UTF-8 .* it would fit GB18030 \(--encoding gb18030"):
        registry.read(path, "bio", Options())
    assert registry.read(path, "bio", Options(encoding="gb18030")).report.mentions == 389


def test_a_corpus_survives_a_detour_through_records_and_brat(read, corpora, tmp_path):
    """ncbi -> records.jsonl -> BRAT -> BIO: the same bytes, once the sentences stand in order."""
    reading = read("ncbi/devel.tsv", lang="en")
    registry.write(reading, "records", Options(), tmp_path / "r.jsonl")
    registry.write(registry.read(tmp_path / "r.jsonl", "", Options()), "brat", Options(), tmp_path / "corpus")
    back = registry.read(tmp_path / "corpus", "", Options())
    back.records.sort(key=lambda record: int(record.id.rpartition("-")[2]))
    registry.write(back, "bio", Options(), tmp_path / "b.tsv")
    assert (tmp_path / "b.tsv").read_bytes() == (corpora / "ncbi/devel.tsv").read_bytes()


def test_a_corpus_as_csv_of_lists(read, tmp_path):
    reading = read("ncbi/devel.tsv")
    with (tmp_path / "a.csv").open("w", encoding="utf-8-sig", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(["text", "Disease"])
        for record in reading.records:
            writer.writerow([record.text, [e.text for e in record.entities]])  # as pandas writes lists
    table = registry.read(tmp_path / "a.csv", "", Options(answer_format="json_entities"))
    assert table.report.records == 923
    assert [{e.text for e in r.entities} for r in table.records] == [
        {e.text for e in r.entities} for r in reading.records
    ]
