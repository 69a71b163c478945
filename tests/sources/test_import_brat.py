"""BRAT standoff: nested, discontinuous, relations, blanks outside the offsets, orphans, and records written as BRAT."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etlch.errors import EtlchError, ManyErrors
from etlch.records import Entity, Record, Triple
from etlch.sources import brat, registry
from etlch.sources.base import Options

TEXT = "elevated levels of estrone and estradiol\n"
ANN = (
    "T1\tChemical 19 26\testrone \n"
    "T2\tPhenotype 9 26\tlevels of estrone\n"
    "R1\tincreases Arg1:T1 Arg2:T3\t\n"
    "T3\tPhenotype 31 40;9 18\testradiol levels of\n"
    "#1\tAnnotatorNotes R1\tneg\n"
)


def test_nested_discontinuous_and_related_mentions(importing, found):
    reading = importing({"d.txt": TEXT, "d.ann": ANN}, "corpus")
    assert reading.reader.name == "brat"
    assert found(reading) == [
        [
            ("Phenotype", "estradiol levels of", ((31, 40), (9, 18))),
            ("Phenotype", "levels of estrone", ((9, 26),)),
            ("Chemical", "estrone", ((19, 26),)),
        ]
    ]
    assert reading.records[0].triples == (
        Triple("estrone", "increases", "estradiol levels of", "Chemical", "Phenotype"),
    )
    assert reading.records[0].id == "d"
    assert [tally.count for tally in reading.report.repaired.values()] == [1]  # T1's blank
    assert reading.report.notes["notes have no place in a record"].count == 1
    assert reading.report.shapes == {"nested": 2, "discontinuous": 1}


def test_one_document_can_be_named_by_either_file(importing, tmp_path):
    importing({"d.txt": TEXT, "d.ann": ANN, "e.txt": "x", "e.ann": ""}, "corpus")
    for name in ("d.txt", "d.ann"):
        assert [r.id for r in registry.read(tmp_path / "corpus" / name, "", Options()).records] == ["d"]


def test_an_empty_ann_is_a_text_without_mentions(importing):
    assert importing({"d.txt": TEXT, "d.ann": ""}, "corpus").records == [Record("d", TEXT, source="d.txt")]


def test_orphans_are_refused_with_their_mentions(importing):
    reading = importing(
        {"d.txt": TEXT, "d.ann": ANN, "e.ann": ANN, "f.txt": TEXT, "sub/g.txt": "x", "sub/g.ann": ""}, "corpus"
    )
    assert [r.id for r in reading.records] == ["d", "sub/g"]
    assert (reading.report.refused, reading.report.refused_mentions) == (2, 3)
    assert [problem.split("corpus/")[1].split(" (")[0] for problem in reading.report.problems] == [
        "f.txt: no .ann beside it",
        "e.ann: no .txt beside it",
    ]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("T4\tX 30 99\tfoo", r"\[30, 99\] is outside the text \(expected 0 <= start < end <= 41\)"),
        ("T4\tX 5 5\t", r"\[5, 5\] is outside the text"),
        ("T4\tX 0 8\tlowered", r"slices to 'elevated' \(expected 'lowered'\)"),
        ("T4\tX 0 5;3 8\televa vated", "fragments .* of one mention overlap"),
        ("T4\tX\tfoo", "expected a type and offsets"),
        ("T4 X 0 8 elevated", "after T4 X 0 8 elevated"),
        ("T1\tX 0 8\televated", "found T1 again"),
        ("R2\ttreats T1 T2", "expected a relation such as"),
        ("R2\ttreats Arg1:T1 Arg2:T9", "refers to 'T9', which is no mention here"),
        ("Q1\tfoo", "expected a line that begins with T, R"),
    ],
)
def test_a_bad_line_gets_its_document_refused_by_name(importing, line, problem):
    files = {"d.txt": TEXT, "d.ann": ANN + line + "\n", "e.txt": TEXT, "e.ann": ""}
    reading = importing(files, "corpus")
    assert [r.id for r in reading.records] == ["e"]
    assert reading.report.refused_mentions in (3, 4)
    with pytest.raises(EtlchError, match=rf"d\.(ann:6|txt:1): .*{problem}"):
        importing(files, "corpus", strict=True)


def test_the_same_mention_twice_is_kept_once(importing):
    ann = "T1\tX 0 8\televated\nT2\tX 0 8\televated\n"
    reading = importing({"d.txt": TEXT, "d.ann": ann}, "corpus")
    assert len(reading.records[0].entities) == 1
    assert reading.report.repaired["the same mention twice; kept once"].count == 1


@pytest.mark.parametrize(("start", "kept"), [(6, "one\r\ntwo three"), (5, "one\ntwo three")])
def test_crlf_texts_are_taken_as_their_offsets_count(importing, start, kept):
    offset = kept.index("two")
    reading = importing({"d.txt": "one\r\ntwo three", "d.ann": f"T1\tX {offset} {offset + 3}\ttwo\r\n"}, "corpus")
    assert reading.records[0].text == kept
    assert bool(reading.report.repaired) == ("\r" not in kept)


@pytest.mark.parametrize("start", [0, 1])
def test_offsets_may_or_may_not_count_a_byte_order_mark(importing, found, start):
    reading = importing({"d.txt": "\ufeffone two", "d.ann": f"T1\tX {start} {start + 3}\tone\n"}, "corpus")
    assert found(reading) == [[("X", "one", ((0, 3),))]]


def test_utf16_offsets_are_told_by_the_mentions_text(importing, found):
    files = {"d.txt": "😀 one two", "d.ann": "T1\tX 3 6\tone\n"}
    reading = importing(files, "corpus")
    assert found(reading) == [[("X", "one", ((2, 5),))]]
    assert reading.report.repaired["offsets counted in utf16 units"].count == 1
    with pytest.raises(EtlchError, match="slices to 'ne '"):
        importing(files, "corpus", offset_unit="codepoint", strict=True)


def test_blanks_inside_the_offsets_are_trimmed(importing, found):
    reading = importing({"d.txt": "a serum  level", "d.ann": "T1\tX 1 8\tserum\nT2\tX 2 14\tserum level\n"}, "corpus")
    assert found(reading) == [[("X", "serum", ((2, 7),)), ("X", "serum  level", ((2, 14),))]]


def test_events_are_kept_out_of_records(importing):
    ann = "T1\tBinding 0 8\televated\nT2\tX 9 15\tlevels\nE1\tBinding:T1 Theme:T2\nA1\tNegation E1\n"
    reading = importing({"d.txt": TEXT, "d.ann": ann}, "corpus")
    assert {what: tally.count for what, tally in reading.report.notes.items()} == {
        "events have no place in a record": 1,
        "attributes have no place in a record": 1,
    }


def test_what_brat_cannot_hold_is_refused_or_counted(record):
    written = brat.BRAT.write([record], Options())
    assert written.files["r1.ann"].splitlines()[-2:] == ["R1\t位於 Arg1:T1 Arg2:T3", "R2\t擔任 Arg1:T4 Arg2:T6"]
    assert written.left_out == {"fields": 2}
    free = Record("r", "a b", entities=(Entity("a", "X", ((0, 1),)),), triples=(Triple("a", "is", "c"),))
    assert brat.BRAT.write([free], Options()).left_out == {"triples whose head or tail is no mention": 1}
    bad = Record("a b", "x y", entities=(Entity("x", "celestial body", ((0, 1),)), Entity("z", "X")))
    with pytest.raises(ManyErrors) as error:
        brat.BRAT.write([bad], Options())
    assert [line.split(": ", 1)[1].split(" (")[0] for line in error.value.problems] == [
        "its id cannot name a file",
        "the type 'celestial body' holds a blank",
        "'z' is without offsets",
    ]


@st.composite
def records(draw):
    text = draw(st.text("ab 臺😀\nβ", min_size=1, max_size=30).filter(str.strip))
    entities = []
    for _ in range(draw(st.integers(0, 4))):
        cuts = sorted(draw(st.lists(st.integers(0, len(text)), min_size=2, max_size=4, unique=True)))
        spans = tuple(zip(cuts[::2], cuts[1::2], strict=False))
        entities.append(Entity(" ".join(text[s:e] for s, e in spans), draw(st.sampled_from("XY")), spans))
    kept = [e for e in dict.fromkeys(entities) if not any(e.text[i].isspace() for i in (0, -1)) and e.text.strip()]
    return Record("d", text, source="d.txt", entities=tuple(kept))


@settings(deadline=None, max_examples=60)
@given(records())
def test_what_is_written_reads_back_as_it_was(tmp_path_factory, record):
    folder = tmp_path_factory.mktemp("brat") / "corpus"
    registry.put(brat.BRAT.write([record], Options()), folder)
    (read,) = registry.read(folder, "", Options()).records
    assert (read.text, set(read.entities)) == (record.text, set(record.entities))
