"""BIO and CoNLL columns: chunks as seqeval reads them, layers, odd files, and records written as columns."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from seqeval.metrics.sequence_labeling import get_entities

from etlch.errors import EtlchError, ManyErrors
from etlch.records import Entity, Record
from etlch.sources import bio
from etlch.sources.base import Options

SIMPLE = "Aspirin\tB-Chemical\ncauses\tO\nstomach\tB-Disease\npain\tI-Disease\n\nIt\tO\nhelps\tO\n\n"


def written(records, layered=False, **options) -> str:
    return (bio.LAYERED if layered else bio.BIO).write(records, Options(**options)).files[""]


def test_tokens_are_joined_by_a_blank_and_mentions_get_offsets(importing, found):
    reading = importing(SIMPLE, format="bio", lang="en")
    assert [(r.id, r.text, r.lang) for r in reading.records] == [
        ("a-1", "Aspirin causes stomach pain", "en"),
        ("a-2", "It helps", "en"),
    ]
    assert found(reading) == [[("Chemical", "Aspirin", ((0, 7),)), ("Disease", "stomach pain", ((15, 27),))], []]
    assert reading.records[1].source == "a.tsv:6"


@settings(deadline=None, max_examples=60)
@given(st.lists(st.sampled_from(["O", "B-X", "I-X", "B-Y", "I-Y", "E-X", "S-X", "S-Y", "E-Y"]), max_size=12))
def test_chunks_are_those_of_seqeval(tags):
    ours = [(kind, start, end - 1) for start, end, kind in bio.chunks([bio.parse_tag(tag) for tag in tags])]
    assert ours == get_entities(tags)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.sampled_from(["O", "X-B", "X-I", "Y-B", "Y-I"]), max_size=12))
def test_suffix_chunks_are_those_of_seqeval(tags):
    ours = [
        (kind, start, end - 1) for start, end, kind in bio.chunks([bio.parse_tag(tag, suffix=True) for tag in tags])
    ]
    assert ours == get_entities(tags, suffix=True)


def test_an_i_tag_after_o_begins_a_mention_and_is_counted(importing, found):
    reading = importing("a\tO\nb\tI-X\nc\tI-X\nd\tI-Y\n\ne\tB-X\n\n", format="bio")
    assert found(reading) == [[("X", "b c", ((2, 5),)), ("Y", "d", ((6, 7),))], [("X", "e", ((0, 1),))]]
    counted = {what.split(",")[0]: (tally.count, tally.first[-5:]) for what, tally in reading.report.repaired.items()}
    assert counted == {"I- after O": (1, "tsv:2"), "I- after another type": (1, "tsv:4")}
    assert written(reading.records).splitlines()[1] == "b\tB-X"


@pytest.mark.parametrize(
    ("tags", "name"),
    [
        (["I-X", "I-X", "B-X", "O", "I-Y"], "IOB1"),
        (["I-X", "O", "I-Y"], "IO"),
        (["B-X", "E-X", "O", "S-Y"], "BIOES"),
        (["B-X", "M-X", "E-X", "S-Y"], "BIOES"),
        (["B-X", "I-X", "L-X", "U-Y"], "BIOES"),
        (["X-B", "X-I", "O", "Y-B"], "IOB2, written TYPE-B"),
    ],
)
def test_other_schemes_are_told_apart(importing, tags, name):
    content = "".join(f"{word}\t{tag}\n" for word, tag in zip("abcde", tags, strict=False)) + "\n"
    reading = importing(content, format="bio")
    assert f"the tags are {name}" in reading.report.notes
    assert not reading.report.repaired
    tags = [tag.translate(str.maketrans("MLU", "IES")) for tag in tags]  # as seqeval has them
    suffix = "TYPE-B" in name
    assert [(e.type, e.text) for e in reading.records[0].entities] == [
        (kind, " ".join("abcde"[start : end + 1])) for kind, start, end in get_entities(tags, suffix)
    ]


def test_a_bare_b_has_the_type_that_seqeval_gives_it(importing, found):
    assert found(importing("a\tB\nb\tI\nc\tO\n", format="bio")) == [[("_", "a b", ((0, 3),))]]
    assert get_entities(["B", "I", "O"]) == [("_", 0, 1)]


def test_columns_choose_token_and_tag(importing, found):
    content = "1 EU NNP B-ORG O\n2 rejects VBZ O O\n3 Peter NNP B-PER I-PER\n"
    assert found(importing(content, format="bio", columns=("2", "4"))) == [
        [("ORG", "EU", ((0, 2),)), ("PER", "Peter", ((11, 16),))]
    ]
    assert found(importing(content, format="bio", columns=("2", "5"))) == [[("PER", "Peter", ((11, 16),))]]


@pytest.mark.parametrize("columns", [("2",), ("1", "2", "3"), ("token", "tag"), ("0", "1"), ("1", "1")])
def test_columns_that_make_no_sense_are_refused(importing, columns):
    with pytest.raises(EtlchError, match="--columns"):
        importing(SIMPLE, format="bio", columns=columns)


def test_chinese_is_joined_without_blanks_unless_told_otherwise(importing):
    content = "台\tB-LOC\n北\tI-LOC\n好\tO\n"
    assert importing(content, format="bio").records[0].text == "台北好"
    assert importing(content, format="bio", joiner=" ").records[0].text == "台 北 好"


def test_segment_digits_are_taken_off(importing, found):
    content = "科0\tB-X\n技1\tI-X\n全0\tO\n10\tO\n\n口0\tO\n腔1\tO\n"
    reading = importing(content, format="bio")
    assert [r.text for r in reading.records] == ["科技全1", "口腔"]
    assert found(reading)[0] == [("X", "科技", ((0, 2),))]


def test_words_that_end_in_digits_are_left_alone(importing):
    assert importing("p53\tB-G\nIL2\tB-G\n", format="bio").records[0].text == "p53 IL2"


def test_docstart_and_comments_are_left_out(importing):
    content = "-DOCSTART- -X- -X- O\n\n# id 7 domain=en\nEU _ _ B-ORG\n# a remark\nis _ _ O\n\n"
    reading = importing(content, format="bio")
    assert [r.text for r in reading.records] == ["EU is"]
    assert reading.report.notes["comment left out of the records"].count == 2


def test_a_token_that_is_a_hash_is_no_comment(importing):
    assert importing("#\tO\nMeToo\tB-X\n", format="bio").records[0].text == "# MeToo"
    assert importing("# O\nMeToo B-X\n", format="bio").records[0].text == "# MeToo"


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends_of_all_kinds(importing, end):
    content = SIMPLE.replace("\n", end)
    reading = importing(content, format="bio")
    assert [r.text for r in reading.records] == ["Aspirin causes stomach pain", "It helps"]
    assert (len(reading.report.notes) == 0) == (end == "\n")


def test_mixed_line_ends_a_byte_order_mark_and_no_last_line_end(importing):
    content = "\ufeffa\tB-X\r\nb\tO\n\r\nc\tO"
    reading = importing(content, format="bio")
    assert [r.text for r in reading.records] == ["a b", "c"]
    assert set(reading.report.notes) == {"byte order mark taken off", "mixed line ends (2 CRLF, 1 LF)"}


def test_unicode_line_separators_stay_inside_a_token(importing):
    assert importing("a\u2028b\tB-X\nc\x85d\tO\n", format="bio").records[0].text == "a\u2028b c\x85d"


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("b", r"found 1 column: 'b' \(expected at least 2, tabs between them\)"),
        ("b\tPER", r"found the tag 'PER' \(expected O, B-TYPE or I-TYPE"),
        ("\tO", r"found no token in '\\tO' \(expected one\)"),
    ],
)
def test_a_bad_line_gets_its_sentence_refused_with_its_mentions_counted(importing, line, problem):
    reading = importing(f"x\tO\n\na\tB-X\n{line}\n\ny\tB-X\n", format="bio")
    assert [r.id for r in reading.records] == ["a-1", "a-3"]
    assert (reading.report.refused, reading.report.refused_mentions, reading.report.mentions) == (1, 1, 1)
    with pytest.raises(EtlchError, match=r"a\.tsv:4: " + problem):
        importing(f"x\tO\n\na\tB-X\n{line}\n\ny\tB-X\n", format="bio", strict=True)


def test_what_is_no_bio_at_all_is_an_error(importing):
    with pytest.raises(EtlchError, match="no record could be read as bio"):
        importing("just some words\nand more\n", format="bio")


LAYERED = "the\tO\tO\tO\nIL-2\tB-protein\tB-DNA\tO\ngene\tO\tI-DNA\tO\nis\tO\tO\tO\n\n"


def test_layers_become_nested_mentions_outermost_first(importing, found):
    reading = importing(LAYERED)
    assert reading.reader.name == "layered-bio"
    assert found(reading) == [[("DNA", "IL-2 gene", ((4, 13),)), ("protein", "IL-2", ((4, 8),))]]
    assert reading.report.shapes == {"nested": 1}
    assert written(reading.records, layered=True, layers=3) == LAYERED


def test_mentions_side_by_side_within_one_share_a_layer():
    entities = [Entity("a b c", "X", ((0, 5),)), Entity("a", "Y", ((0, 1),)), Entity("c", "Y", ((4, 5),))]
    columns = written([Record("r", "a b c", entities=tuple(entities))], layered=True)
    assert columns == "a\tB-Y\tB-X\nb\tO\tI-X\nc\tB-Y\tI-X\n\n"


def test_flat_bio_refuses_what_it_cannot_hold(importing):
    nested = importing(LAYERED).records
    with pytest.raises(ManyErrors, match=r"overlaps others .*layered-bio holds more"):
        written(nested)
    apart = Record("r", "a b c", entities=(Entity("a c", "X", ((0, 1), (4, 5))),))
    with pytest.raises(ManyErrors, match=r"'a c' is discontinuous \(expected one span of whole tokens"):
        written([apart])
    inside = Record("r", "ab cd", entities=(Entity("b", "X", ((1, 2),)),))
    with pytest.raises(ManyErrors, match="no stretch of whole tokens"):
        written([inside])
    with pytest.raises(ManyErrors, match="cannot stand in a column"):
        written([Record("r", "a\nb")])


def test_triples_and_fields_are_counted_as_left_out(record):
    flat = Record(record.id, "台 北", entities=(), triples=record.triples, fields=record.fields)
    assert bio.BIO.write([flat], Options(joiner=" ")).left_out == {"triples": 2, "fields": 2}


words = st.lists(st.text("abcβ臺?-", min_size=1, max_size=4), min_size=1, max_size=8)
kinds = st.sampled_from(["X", "Y-Z"])


@st.composite
def records(draw, nested: bool):
    tokens = draw(words)
    bounds = bio.token_offsets(tokens, " ")
    spans = draw(st.lists(st.tuples(st.integers(0, len(tokens) - 1), st.integers(1, 4), kinds), max_size=5))
    text = " ".join(tokens)
    chosen: list[tuple[int, int, str]] = []
    for start, length, kind in spans:
        end = min(start + length, len(tokens))
        if nested or all(end <= s or start >= e for s, e, _ in chosen):
            chosen.append((start, end, kind))
    entities = [(bounds[s][0], bounds[e - 1][1], kind) for s, e, kind in chosen]
    entities = sorted(set(entities), key=lambda e: (e[0], -e[1]))
    return Record(
        "a-1", text, source="a.tsv:1", entities=tuple(Entity(text[s:e], k, ((s, e),)) for s, e, k in entities)
    )


@settings(deadline=None, max_examples=60)
@given(st.booleans().flatmap(lambda nested: st.tuples(st.just(nested), records(nested))))
def test_what_is_written_reads_back_as_it_was(tmp_path_factory, case):
    nested, record = case
    path = tmp_path_factory.mktemp("bio") / "a.tsv"
    path.write_text(written([record], layered=nested, joiner=" "), encoding="utf-8")
    from etlch.sources import registry

    reading = registry.read(path, "layered-bio" if nested else "bio", Options(joiner=" "))
    assert len(reading.records) == 1
    assert reading.records[0].text == record.text
    assert set(reading.records[0].entities) == set(record.entities)


def test_tokens_of_odd_blanks_are_tokens(importing, found):
    """Character-level files keep the blanks of their text: an ideographic, a no-break and a plain one."""
    content = "台\tB-X\n\u3000\tI-X\n北\tI-X\n\xa0\tO\n \tO\n好\tO\n\n"
    reading = importing(content, format="bio", joiner="")
    assert reading.records[0].text == "台\u3000北\xa0 好"
    assert found(reading) == [[("X", "台\u3000北", ((0, 3),))]]
    assert written(reading.records, joiner="") == content
