"""The twelve formats of the MF-NER paper: its listings, what each can hold, hostile texts and hostile answers.

Expected answers were typed from the paper's section 3.2; what must be refused is worked out here, apart from the code.
"""

import pickle
import random
import time
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etlch import cli
from etlch.formats import FORMATS, FormatError, Schema, round_trip, terms
from etlch.formats.align import align
from etlch.formats.base import MAX_PROBLEMS
from etlch.records import Entity, Record, Triple
from etlch.sources import registry
from etlch.sources.base import Options

TEXT = "These results suggest that BCL6 plays a role in activated lymphocytes as an immediate early gene."
ACTIVATED = Entity("activated lymphocytes", "cell_type", ((48, 69),))
BCL6 = Entity("BCL6", "protein", ((27, 31),))
LYMPHOCYTES = Entity("lymphocytes", "cell_type", ((58, 69),))
GENIA = Record("genia", TEXT, entities=(ACTIVATED, BCL6, LYMPHOCYTES))
TYPES = Schema(("cell_line", "protein", "RNA", "DNA", "cell_type"))
CELL = Schema(("cell_type",))
MENTIONS = {name: form for name, form in FORMATS.items() if form.part == "entities"}
TWELVE = {name: form for name, form in MENTIONS.items() if name != "json_entities"}

CODE = f'''```py
def named_entity_recognition(input_text):
    """ extract entities from the input_text. """
    input_text = "{TEXT}"
    entity_list = []
    # extracted entities for %s.
%s
```'''
LISTINGS = {
    "conv_term": (
        'user :: Type: cell_line\nassistant :: Answer: []\nuser :: Type: protein\nassistant :: Answer: ["BCL6"]\n'
        "user :: Type: RNA\nassistant :: Answer: []\nuser :: Type: DNA\nassistant :: Answer: []\n"
        'user :: Type: cell_type\nassistant :: Answer: ["activated lymphocytes", "lymphocytes"]'
    ),
    "single_tag": (
        "Answer: These results suggest that BCL6 plays a role in @@activated @@lymphocytes#### as an immediate early gene."
    ),
    "multi_tag": (
        "Answer: These results suggest that <protein>BCL6</protein> plays a role in <cell_type>activated "
        "<cell_type>lymphocytes</cell_type></cell_type> as an immediate early gene."
    ),
    "single_code": "Answer:\n"
    + CODE
    % (
        "cell_type type",
        '    entity_list.append("activated lymphocytes")\n    entity_list.append("lymphocytes")',
    ),
    "multi_code": "Answer:\n"
    + CODE
    % (
        "cell_line, protein, RNA, DNA, cell_type types",
        '    entity_list.append({"text": "activated lymphocytes", "type": "cell_type"})\n'
        '    entity_list.append({"text": "BCL6", "type": "protein"})\n'
        '    entity_list.append({"text": "lymphocytes", "type": "cell_type"})',
    ),
    "single_term": 'Answer: ["activated lymphocytes", "lymphocytes"]',
    "multi_term": (
        'Answer: [{"text": "activated lymphocytes", "type": "cell_type"}, {"text": "BCL6", "type": "protein"}, '
        '{"text": "lymphocytes", "type": "cell_type"}]'
    ),
    "single_span": "Answer: [[48,69],[58,69]]",
    "multi_span": (
        'Answer: [{"span": [48, 69], "type": "cell_type"}, {"span": [27, 31], "type": "protein"}, '
        '{"span": [58, 69], "type": "cell_type"}]'
    ),
    "multi_triple": "Answer:\nactivated lymphocytes; is a; cell_type\nBCL6; is a; protein\nlymphocytes; is a; cell_type",
    "multi_bio": (
        "Layer 1: O O O O B-protein O O O O B-cell_type I-cell_type O O O O O\n"
        "Layer 2: O O O O O O O O O O B-cell_type O O O O O"
    ),
    "multi_brat": (
        "Answer:\nT1 cell_type 48 69 activated lymphocytes\nT2 protein 27 31 BCL6\nT3 cell_type 58 69 lymphocytes"
    ),
}


def schema_of(name: str) -> Schema:
    return CELL if FORMATS[name].can.types == "one" else TYPES


def parse(name: str, answer: str, schema: Schema | None = None, source: str = TEXT):
    return FORMATS[name].parse(answer, schema or schema_of(name), source)


def found(parsed) -> list[tuple]:
    return [(e.text, e.type, *e.spans) for e in parsed.entities]


def test_there_are_twelve():
    assert set(TWELVE) == set(LISTINGS) and len(LISTINGS) == 12


@pytest.mark.parametrize("name", LISTINGS)
def test_the_listings(name):
    """Rendered to the letter; read back with offsets, also by the formats whose answers have none."""
    assert FORMATS[name].render(GENIA, schema_of(name)) == LISTINGS[name]
    parsed = parse(name, LISTINGS[name])
    assert (parsed.status, parsed.problems) == ("ok", ())
    expected = {ACTIVATED, LYMPHOCYTES} if FORMATS[name].can.types == "one" else set(GENIA.entities)
    assert set(parsed.entities) == expected and len(parsed.entities) == len(expected)


def test_the_listings_where_they_slip():
    brace = parse("single_span", "Answer: [[48,69],[58,69]]}")
    assert (brace.status, set(brace.entities)) == ("repaired", {ACTIVATED, LYMPHOCYTES})
    assert parse("single_code", LISTINGS["multi_tag"]).status == "invalid"


@pytest.mark.parametrize("name", TWELVE)
def test_a_sentence_without_mentions(name):
    empty = Record("e", TEXT)
    answer = FORMATS[name].render(empty, schema_of(name))
    parsed = parse(name, answer)
    assert (parsed.status, parsed.entities) == ("ok", ())
    assert parse(name, "").status == parse(name, "I am sorry.").status == "invalid"


@pytest.mark.parametrize("name", FORMATS)
def test_formats_can_be_pickled(name):
    """Scoring sends task cards, which hold formats, to other processes."""
    copy = pickle.loads(pickle.dumps(FORMATS[name]))
    assert (copy.name, copy.can) == (name, FORMATS[name].can)


def test_a_conversation_has_a_turn_a_type():
    assert terms.turns(GENIA, TYPES)[:2] == [("Type: cell_line", "Answer: []"), ("Type: protein", 'Answer: ["BCL6"]')]
    assert FORMATS["conv_term"].render(GENIA, TYPES).count("Type: ") == 5
    alone = Record("a", TEXT, entities=(BCL6,))
    assert FORMATS["conv_term"].render(alone, Schema(("protein",))) == 'Answer: ["BCL6"]'
    with pytest.raises(FormatError, match="type by type"):
        FORMATS["conv_term"].render(alone, Schema())


# --- what each can represent ---

SPLIT = Record("s", "high or low fever", entities=(Entity("high fever", "symptom", ((0, 4), (12, 17))),))
CROSS = Record(
    "x", "lung cancer cell", entities=(Entity("lung cancer", "a", ((0, 11),)), Entity("cancer cell", "a", ((5, 16),)))
)
LOOSE = Record("l", "x", entities=(Entity("y", "a"),))


@pytest.mark.parametrize("name", TWELVE)
def test_what_a_format_cannot_represent_is_refused_and_what_it_can_comes_back(name):
    form = FORMATS[name]
    for record, able, reason in (
        (SPLIT, form.can.discontinuous, "a discontinuous mention"),
        (CROSS, form.can.crossing, "crossing mentions"),
        (LOOSE, not form.can.offsets, "a mention without offsets"),
    ):
        schema = Schema((record.entities[0].type,))
        if able:
            assert round_trip.difference(form, record, schema)[0] == ""
        else:
            with pytest.raises(FormatError, match=f"record '{record.id}': {name} cannot") as refused:
                form.render(record, schema)
            assert refused.value.reason == reason


def test_abilities_are_those_of_the_paper():
    """Section 3.2: all nested; the span and BIO formats, and by section 4.4 the tags, nothing discontinuous."""
    assert all(form.can.nested for form in TWELVE.values())
    able = {name for name, form in TWELVE.items() if form.can.discontinuous}
    assert set(TWELVE) - able == {"single_span", "multi_span", "multi_bio", "multi_tag", "single_tag"}
    assert {name for name, form in TWELVE.items() if form.can.types == "one"} == {
        name for name in TWELVE if name.startswith("single_")
    }


@pytest.mark.parametrize("name", [n for n in TWELVE if n.startswith("single_")])
def test_single_formats_want_one_type(name):
    with pytest.raises(FormatError, match="one type"):
        FORMATS[name].render(GENIA, TYPES)
    assert parse(name, LISTINGS[name], TYPES).status == "invalid"


@pytest.mark.parametrize("name", [n for n in TWELVE if n.startswith("multi_")])
def test_a_type_outside_the_schema(name):
    with pytest.raises(FormatError, match="not in the schema"):
        FORMATS[name].render(GENIA, Schema(("protein",)))
    parsed = parse(name, LISTINGS[name], Schema(("cell_type",)))
    assert parsed.status == "repaired" and any("not asked for: 'protein'" in p for p in parsed.problems)
    assert set(parsed.entities) == set(GENIA.entities)  # kept: what was answered is scored


def test_bio_refuses_what_is_no_whole_token():
    record = Record("t", "an early gene.", entities=(Entity("gene", "g", ((9, 13),)),))
    with pytest.raises(FormatError, match="inside a token"):
        FORMATS["multi_bio"].render(record, Schema())
    chinese = Record("z", "我在北京", entities=(Entity("北京", "地", ((2, 4),)),))
    assert FORMATS["multi_bio"].render(chinese, Schema()) == "Layer 1: O O B-地 I-地"


@pytest.mark.parametrize("name", TWELVE)
def test_the_same_mention_twice(name):
    """Where answers have offsets it is one mention; a term that stands twice is two, placed one after the other."""
    text = "TNF and TNF"
    one, two = Entity("TNF", "p", ((0, 3),)), Entity("TNF", "p", ((8, 11),))
    schema = Schema(("p",))
    both = FORMATS[name].render(Record("r", text, entities=(one, two)), schema)
    assert set(parse(name, both, schema, text).entities) == {one, two}
    if FORMATS[name].can.offsets:
        again = FORMATS[name].render(Record("r", text, entities=(one, one)), schema)
        assert parse(name, again, schema, text).entities == (one,)


# --- escaping ---


@pytest.mark.parametrize(
    ("name", "text", "span", "kind", "expected"),
    [
        ("multi_tag", "p < 0.05 & q > 1", (0, 1), "t", "Answer: <t>p</t> < 0.05 & q > 1"),
        ("multi_tag", "a &lt; b", (0, 1), "t", "Answer: <t>a</t> &amp;lt; b"),
        ("multi_tag", "a<<p>", (0, 1), "t", "Answer: <t>a</t>&lt;&lt;p>"),
        ("multi_tag", "ab", (0, 1), "x>y", "Answer: <x&gt;y>a</x&gt;y>b"),
        ("single_tag", "C# a@b.c ## x", (0, 2), "t", r"Answer: @@C\### a@b.c \#\# x"),
        ("single_tag", "a\\b \\", (0, 3), "t", "Answer: @@a\\b## \\\\"),
        ("multi_triple", "a; b\\c\nd", (0, 8), "t", "Answer:\na\\; b\\\\c\\nd; is a; t"),
        ("multi_brat", "a\nb", (0, 3), "grade 2", "Answer:\nT1 grade\\u00202 0 3 a\\nb"),
        ("multi_bio", "a b", (0, 3), "x y", "Layer 1: B-x\\u0020y I-x\\u0020y"),
        ("multi_term", '"a"\\\n', (0, 4), "t", 'Answer: [{"text": "\\"a\\"\\\\", "type": "t"}]'),
    ],
)
def test_escapes(name, text, span, kind, expected):
    record = Record("r", text, entities=(Entity(text[slice(*span)], kind, (span,)),))
    schema = Schema((kind,))
    assert FORMATS[name].render(record, schema) == expected
    assert round_trip.difference(FORMATS[name], record, schema)[0] == ""


def test_tags_that_are_text():
    text = "<b>y</b> and x"
    record = Record("r", text, entities=(Entity("y", "t", ((3, 4),)),))
    answer = FORMATS["multi_tag"].render(record, Schema(("t",)))
    assert answer == "Answer: &lt;b><t>y</t>&lt;/b> and x"
    forgotten = parse("multi_tag", "Answer: <b><t>y</t></b> and x", Schema(("t",)), text)
    assert (forgotten.status, forgotten.entities) == ("repaired", record.entities)


BITS = [
    *"<>#@;\"'[]{}\n\r\\|`& \t,:O0a\u2028甲é",
    *("</", "&lt;", "&#38;", "##", "@@", "\\#", "; is a; ", "```", "Answer:", "Answer: ", "\nLayer 1: B-p", "\nT1 p 0 1 x"),
    *("entity_list.append(", '")\n', "<p>", "</p>", "<a b>", "user :: Type: p\nassistant :: ", " 1 2 ", "BCL6", "B-p "),
    "\\u0020",
]  # fmt: skip
KINDS = [
    "p",
    "cell type",
    "a;b",
    "<x>",
    "/p",
    "5",
    "grade 2",
    " lead ",
    "a\nb",
    "\\",
    "\\n",
    "&lt;",
    "I-p",
    "日本",
    '"',
    "a 1 2 b",
]
SOURCE = st.lists(st.sampled_from(BITS) | st.characters(), min_size=1, max_size=14).map("".join)


@st.composite
def hostile_records(draw) -> Record:
    text = draw(SOURCE)
    entities = []
    for _ in range(draw(st.integers(0, 4))):
        cuts = sorted(
            draw(st.sets(st.integers(0, len(text)), min_size=2, max_size=draw(st.sampled_from([2, 2, 2, 4]))))
        )
        spans = tuple(zip(cuts[::2], cuts[1::2], strict=False))
        surface = " ".join(text[start:end] for start, end in spans)
        entities.append(Entity(surface, draw(st.sampled_from(KINDS[: draw(st.sampled_from([1, 16]))])), spans))
    return Record("h", text, entities=tuple(dict.fromkeys(entities)))


def must_refuse(name: str, record: Record) -> bool:
    """Worked out from the definitions, pair by pair and character by character."""
    can = FORMATS[name].can
    if not can.discontinuous and any(len(e.spans) > 1 for e in record.entities):
        return True
    if name == "multi_bio":
        return not all(whole(record.text, *e.spans[0]) for e in record.entities)
    pairs = combinations([e.spans[0] for e in record.entities], 2) if not can.crossing else ()
    return any(a < c < b < d or c < a < d < b for (a, b), (c, d) in pairs)


def whole(text: str, start: int, end: int) -> bool:
    def free(i: int) -> bool:
        return not 0 <= i < len(text) or text[i].isspace() or "\u3040" <= text[i] <= "\u9fff" or ord(text[i]) > 0xF8FF

    edges = text[start].isspace() or text[end - 1].isspace()
    return not edges and (free(start - 1) or free(start)) and (free(end - 1) or free(end))


@settings(max_examples=250)
@given(hostile_records())
def test_round_trip_of_hostile_texts(record):
    """Every format gives back every record that it can represent, and refuses exactly the others."""
    kinds = tuple(dict.fromkeys(e.type for e in record.entities)) or ("p",)
    han = any("\u2e80" <= c <= "\u303f" or "\u3100" <= c <= "\u33ff" or c > "\u9fff" for c in record.text)
    for name, form in MENTIONS.items():
        if name == "multi_bio" and han:
            continue  # which characters are Han is not worked out here beyond the common ones
        for schema in [Schema((k,)) for k in kinds] if form.can.types == "one" else [Schema(kinds)]:
            asked = Record("h", record.text, entities=tuple(e for e in record.entities if e.type in schema.keys))
            try:
                trouble, _ = round_trip.difference(form, record, schema)
            except FormatError:
                assert must_refuse(name, asked), (name, schema)
            else:
                assert not must_refuse(name, asked), (name, schema)
                assert trouble == "", name


@settings(max_examples=250)
@given(st.lists(st.tuples(SOURCE, st.sampled_from(KINDS)), max_size=5), SOURCE)
def test_round_trip_of_terms_without_offsets(pairs, text):
    record = Record("h", text, entities=tuple(Entity(term, kind) for term, kind in pairs))
    for name, form in TWELVE.items():
        if form.can.offsets:
            continue
        for schema in [Schema((k,)) for k in KINDS] if form.can.types == "one" else [Schema(tuple(KINDS))]:
            assert round_trip.difference(form, record, schema)[0] == "", name


# --- alignment ---


def aligned(terms_: list[tuple[str, str]], source: str) -> list[tuple]:
    return [e.spans for e in align([Entity(*term) for term in terms_], source)]


@pytest.mark.parametrize(
    ("terms_", "source", "expected"),
    [
        (["TNF", "TNF", "TNF"], "TNF, TNF", [((0, 3),), ((5, 8),), ()]),
        (["bcl6"], "the BCL6 gene", [((4, 8),)]),
        (["BCL6", "bcl6"], "bcl6 and BCL6", [((9, 13),), ((0, 4),)]),
        (["a  b"], "x A\nB", [((2, 5),)]),
        (["ＢＣＬ６"], "the BCL6 gene", [((4, 8),)]),
        (["e\u0301t"], "un \u00e9t\u00e9", [((3, 5),)]),
        (["fi"], "\ufb01n", [((0, 1),)]),  # the ligature is one character of the source
        (["i"], "\ufb01n", [()]),  # and half of it is no place
        (["T"], "The T cell", [((4, 5),)]),
        (["T"], "These", [((0, 1),)]),
        (["北京", "北京"], "我在北京，北京", [((2, 4),), ((5, 7),)]),
        (["high fever"], "high or low fever", [((0, 4), (12, 17))]),
        (["high fever"], "high, very high or low fever", [((11, 15), (23, 28))]),
        (["fever high"], "high or low fever", [()]),
        (["absent", ""], "x", [(), ()]),
        (["hyphen", "ab"], "hy\u00adphen, a\u200bb", [((0, 7),), ((9, 12),)]),
        (["hy\u00adphen"], "a hyphen", [((2, 8),)]),
        (["馮·布朗", "馮‧布朗"], "馮・布朗與馮•布朗", [((0, 4),), ((5, 9),)]),
        (["lymphocytes", "activated lymphocytes"], "activated lymphocytes", [((10, 21),), ((0, 21),)]),
    ],
)
def test_alignment(terms_, source, expected):
    assert aligned([(term, "t") for term in terms_], source) == expected


def test_alignment_gives_one_place_to_two_types_only_when_there_is_no_other():
    assert aligned([("a", "p"), ("a", "q"), ("a", "q")], "a") == [((0, 1),), ((0, 1),), ()]
    assert aligned([("a", "p"), ("a", "q")], "a a") == [((0, 1),), ((2, 3),)]


@given(st.lists(SOURCE, max_size=6), SOURCE)
def test_alignment_places_are_in_the_text_and_never_shared(terms_, source):
    out = align([Entity(term, "t") for term in terms_], source)
    assert [e.text for e in out] == terms_
    spans = [e.spans for e in out if e.spans]
    assert len(set(spans)) == len(spans)
    assert all(0 <= a < b <= len(source) for place in spans for a, b in place)
    assert all(e.spans for e in out if e.text in source and terms_.count(e.text) == 1 and len(terms_) == 1 and e.text)


# --- answers that are not to the letter ---


@pytest.mark.parametrize(
    ("name", "answer", "expected"),
    [
        ("single_term", '["activated lymphocytes", "lymph', ["activated lymphocytes"]),
        ("single_term", "Answer: ['activated lymphocytes', 'lymphocytes']", ["activated lymphocytes", "lymphocytes"]),
        ("single_term", 'Answer: {"cell_type": ["lymphocytes"]}', ["lymphocytes"]),
        ("conv_term", 'user :: Type: protein\nassistant :: Answer: ["BCL6"]', ["BCL6"]),
        ("conv_term", 'Type: protein\n["BCL6"', ["BCL6"]),
        ("multi_term", 'Answer: [{"text": "BCL6", "type": "protein"}, {"text": "lympho', ["BCL6"]),
        ("multi_term", 'Answer: [{"type": "protein", "text": "BCL6", "score": 1}]', ["BCL6"]),
        ("multi_span", 'Answer: [{"span": [27, 31], "type": "protein"}, {"span": [58, 699], "type": "x"}]', ["BCL6"]),
        ("multi_span", 'Answer: [{"span": [31, 27], "type": "p"}, {"span": [27, 31], "type": "protein"', ["BCL6"]),
        ("single_span", "Answer: [[48, 69], [58, 6", ["activated lymphocytes"]),
        ("single_span", "Answer: [48,69,58,69]", ["activated lymphocytes", "lymphocytes"]),
        ("multi_triple", "BCL6; is a; protein\nnothing here\nlymphocytes; are; cell_type", ["BCL6", "lymphocytes"]),
        ("multi_triple", "Answer:\nBCL6; protein", ["BCL6"]),
        ("multi_triple", "Answer:\n1、BCL6; is a; protein.\n• lymphocytes； is a； cell_type", ["BCL6", "lymphocytes"]),
        ("multi_bio", "Answer: Layer 1: O O O O B-protein" + " O" * 11, ["BCL6"]),
        ("multi_bio", "**Layer 1:** O O O O B-protein" + " O" * 11, ["BCL6"]),
        ("single_term", "**Answer:** [“lymphocytes”]", ["lymphocytes"]),
        ("single_term", "答案：Answer: [lymphocytes]", ["lymphocytes"]),
        ("multi_term", "［｛“text”：“BCL6”，“type”：“protein”｝］", ["BCL6"]),
        ("single_code", "Answer:\nentity_list.append(‘lymphocytes’)", ["lymphocytes"]),
        ("multi_brat", "Answer:\nT1\tprotein 27 31\tBCL6\n", ["BCL6"]),
        ("multi_brat", "Answer:\nT1 protein 27 31 BCL\nT2 cell_type 580 690 lymphocytes", ["BCL6", "lymphocytes"]),
        ("multi_bio", "Layer 1: O O O O I-protein O O", ["BCL6"]),
        ("multi_bio", "Answer: Layer 1: O\nLayer 1: O O O O B-protein" + " O" * 20, ["BCL6"]),
        ("multi_code", '```py\nentity_list.append({"text": "BCL6", "type": "protein"})', ["BCL6"]),
        ("single_code", 'Answer: entity_list.append("lymphocytes"); entity_list.append("x', ["lymphocytes"]),
        ("single_tag", "Answer: These @@results## suggest that @@BCL6 plays", ["results"]),
        ("multi_tag", "Answer: These <protein>results</protein> suggest <x", ["results"]),
        (
            "multi_tag",
            "Answer: <protein>These <DNA>results</protein> suggest</DNA>",
            ["These results", "results suggest"],
        ),
        ("multi_tag", TEXT.replace("BCL6", "<protein>BCL6</protein></RNA>"), ["BCL6"]),
        ("multi_tag", "Answer: A model's own words about <protein>bcl6</protein>.", ["bcl6"]),
    ],
)
def test_what_is_there_is_recovered_and_the_rest_reported(name, answer, expected):
    parsed = parse(name, answer)
    assert [e.text for e in parsed.entities] == expected
    assert all(e.spans for e in parsed.entities)
    to_the_letter = name == "multi_brat" and answer.count("\n") == 2 and "\t" in answer
    assert parsed.status == ("ok" if to_the_letter else "repaired")
    assert to_the_letter or parsed.problems


def test_an_altered_text_keeps_the_offsets_of_what_agrees():
    """The two `results` are told apart by where they stand, although a word before one of them is gone."""
    text = "results of many results are results"
    answer = "Answer: results of <p>results</p> are <p>results</p>"
    assert found(parse("multi_tag", answer, Schema(("p",)), text)) == [
        ("results", "p", (16, 23)),
        ("results", "p", (28, 35)),
    ]


HOSTILE = Record(
    "hostile",
    'a <b>c</b> ## @@ "d"; is a; e \\ f\ng {h} [i] 甲乙',
    entities=(
        Entity("<b>c</b>", "p", ((2, 10),)),
        Entity('"d"; is a', "q r", ((17, 26),)),
        Entity("{h} [i]", "p", ((36, 43),)),
        Entity("甲乙", "p", ((44, 46),)),
    ),
    triples=(Triple("甲", "乙-", "c; is a"),),
    fields={"p": ['"d"', "\\ f"], "q": []},
)
SWAP = str.maketrans("<>[]{}()\"'@#;:", "><][}{)('\"#@:;")


def mutated(rng: random.Random, answer: str) -> str:
    """An answer truncated, with a piece doubled, pieces re-ordered, marks moved, brackets swapped, or something put in."""
    at, to = sorted(rng.choices(range(len(answer) + 1), k=2))
    piece = answer[at:to]
    pieces = answer.split(rng.choice([" ", "\n", ",", "<", "##", "}", ">"]))
    kind = rng.randrange(8)
    if kind == 0:
        return answer[:to]
    if kind == 1:
        return answer[:to] + piece * rng.randint(1, 4) + answer[to:]
    if kind == 2:
        return rng.choice([" ", "\n", ",", "<", "##", "}", ""]).join(rng.sample(pieces, len(pieces)))
    if kind == 3:
        return answer[:at] + piece.translate(SWAP) + answer[to:]
    if kind == 4:
        return answer[:at] + answer[to:] + piece
    if kind == 5:
        return answer[:at] + "".join(rng.choices(BITS, k=rng.randint(1, 6))) + answer[at:]
    if kind == 6:
        return answer[:at] + piece[::-1] + answer[to:]
    return "".join(c for c in answer if rng.random() > 0.05)


@pytest.mark.parametrize("name", FORMATS)
def test_mutated_answers(name, record):
    """Never an exception; what comes back stands in the text where it says; problems are few and short."""
    form = FORMATS[name]
    rng = random.Random(name)
    for gold in (GENIA, HOSTILE, record, CROSS, SPLIT):
        kinds = tuple(dict.fromkeys(e.type for e in gold.entities))
        schema = Schema(kinds[:1]) if form.can.types == "one" else Schema(kinds)
        if form.part != "entities":
            schema = Schema(tuple(gold.fields))
        try:
            answer = form.render(gold, schema)
        except FormatError:
            continue
        for _ in range(400):
            spoiled = mutated(rng, answer)
            while rng.random() < 0.5:
                spoiled = mutated(rng, spoiled)
            parsed = form.parse(spoiled, schema, gold.text)
            assert parsed.status in ("ok", "repaired", "invalid")
            assert len(parsed.problems) <= MAX_PROBLEMS and all(len(p) < 300 for p in parsed.problems)
            for entity in parsed.entities:
                assert entity.text or name == "json_entities"
                assert all(0 <= a < b <= len(gold.text) for a, b in entity.spans), spoiled
                cut = " ".join(gold.text[a:b] for a, b in entity.spans)
                assert not entity.spans or "".join(cut.split()).casefold() == "".join(entity.text.split()).casefold()


@pytest.mark.parametrize("name", [n for n in TWELVE if n not in ("multi_triple", "multi_brat", "multi_bio")])
def test_a_cut_answer_gives_some_of_the_mentions_and_no_others(name):
    """In the other three the end of a line cannot be told from a cut in it."""
    answer = FORMATS[name].render(GENIA, schema_of(name))
    sizes = []
    for size in range(len(answer) + 1):
        parsed = parse(name, answer[:size])
        assert set(parsed.entities) <= set(GENIA.entities), answer[:size]
        sizes.append(len(parsed.entities))
    assert sizes == sorted(sizes)


@settings(max_examples=300)
@given(
    st.lists(st.sampled_from([*BITS, '{"text": "', '", "type": "p"}', "[[1,", "2]]", "\nT2 p 0 2;3 4 a", " O"])).map(
        "".join
    ),
    SOURCE,
)
def test_any_string_parses(answer, source):
    for form in FORMATS.values():
        for schema in (Schema(), Schema(("p",)), Schema(("p", "q"))):
            parsed = form.parse(answer, schema, source)
            assert parsed.status in ("ok", "repaired", "invalid")
            assert all(0 <= a < b <= len(source) for e in parsed.entities for a, b in e.spans)


UNITS = [
    *("<protein>BCL6</protein> ", "<protein>a", "<protein>a<x>b</protein>c</x>", "< a ", "&amp;", "@@BCL6## ", "@@a", "#"),
    *("\\", '"', "'", "\\'", '"BCL6", ', '{"text": "BCL6", "type": "protein"}, ', "[27,31],", '{"span": [27, 31], "type": "p"},'),
    *('    entity_list.append("BCL6")\n', "entity_list.append(", "append('", "BCL6; is a; protein\n", "\\;", "T1 protein 27 31 BCL6\n"),
    *("T1 p 27 31 ", "T1 \t", "B-protein ", "Layer 1: B-p O\n", 'user :: Type: p\nassistant :: ["BCL6"]\n', " ", "[", '{"a":', ";", "\n"),
    "a b ",
]  # fmt: skip


@pytest.mark.parametrize("name", FORMATS)
def test_parsing_is_linear(name):
    """Ten times the text may take at most some thirty times as long (quadratic would be a hundred)."""

    def seconds(unit: str, size: int) -> float:
        answer = "Answer: " + unit * (size // len(unit))
        began = time.process_time()
        FORMATS[name].parse(answer, Schema(("protein",)), TEXT)
        return time.process_time() - began

    for unit in UNITS:
        assert seconds(unit, 100_000) < 30 * max(seconds(unit, 10_000), 1e-3) + 1, unit


@pytest.mark.parametrize("name", FORMATS)
def test_a_megabyte_does_not_hang(name):
    """A guard against a hang, not a measure of speed (benchmarks/bench_formats.py measures)."""
    answer = FORMATS[name].render(GENIA, schema_of(name)) if name in MENTIONS else '{"a": ["b"]}, 甲－乙－丙\n'
    began = time.process_time()
    FORMATS[name].parse(answer * (1_000_000 // len(answer)), schema_of(name), TEXT)
    assert time.process_time() - began < 30


# --- the real corpora ---

CORPORA = {
    "bc5cdr/devel.tsv": 0,
    "ncbi/devel.tsv": 0,
    "bc2gm/devel.tsv": 0,
    "anatem/brat": 0,
    "genia/genia.dev.iob2": 0,
    "genia/dev.jsonlines": 0,
    "pgxcorpus/brat": 76,  # files with an offset pair after a semicolon: grep -lP '^T\d+\t\S+ [\d ]+;' *.ann | wc -l
    "crossner/ai/test.txt": 0,
    "crossner/politics/test.txt": 0,
    "weibo/weiboNER_2nd_conll.train": 0,
}


@pytest.mark.parametrize("name", CORPORA)
def test_round_trip_of_real_sentences(corpora, name):
    """The first 100 sentences here (PGxCorpus: all 300); `etlch formats --round-trip` runs all of them."""
    path = corpora / name
    if not path.exists():
        pytest.skip(f"{path} is not there")
    records = registry.read(path, "", Options()).records[: 300 if CORPORA[name] else 100]
    tallies = {form.name: tally for form, tally in round_trip.over(records)}
    assert set(TWELVE) <= set(tallies)
    mentions = sum(len(record.entities) for record in records)
    for form, tally in tallies.items():
        assert tally.failures == []
        assert tally.sentences == len(records)
        if form in MENTIONS:
            assert tally.items == mentions
        if form in TWELVE and form != "multi_bio":
            refused = CORPORA[name] if not FORMATS[form].can.discontinuous else 0
            assert tally.refused_sentences == refused, form
        if form in MENTIONS and FORMATS[form].can.offsets:
            assert tally.placed == tally.placeable  # every one with its offsets


# --- the command ---


def test_the_command_lists_the_formats(capsys):
    assert cli.main(["formats"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[2:]] == list(FORMATS)
    assert next(line for line in lines if line.startswith("multi_bio")).split()[2:] == [
        "many",
        "yes",
        "yes",
        "no",
        "yes",
        "yes",
    ]


def test_the_command_runs_the_round_trip(tmp_path, capsys):
    (tmp_path / "a.tsv").write_text("BCL6\tB-protein\nhelps\tO\n\nno\tO\n", encoding="utf-8")
    (tmp_path / "notes.md").write_text("just words\n", encoding="utf-8")
    assert cli.main(["formats", "--round-trip", str(tmp_path), "--only", "multi_tag,single_term"]) == 0
    out = capsys.readouterr().out
    assert "notes.md: passed over" in out and "\n0 failures" in out
    row = next(line for line in out.splitlines() if line.startswith("multi_tag"))
    assert row.split() == ["multi_tag", "2", "1", "mentions", "0", "0", "0", "100.0%"]
    assert cli.main(["formats", "--round-trip", str(tmp_path / "notes.md")]) == 2
    assert cli.main(["formats", "--only", "xml"]) == 2


def test_a_failed_round_trip_is_shown_and_ends_with_1(tmp_path, capsys, monkeypatch):
    (tmp_path / "a.tsv").write_text("BCL6\tB-protein\nhelps\tO\n", encoding="utf-8")
    form = FORMATS["multi_triple"]
    broken = type(form)("multi_tag", "entities", form.render, FORMATS["multi_tag"].parse, can=form.can)
    monkeypatch.setitem(FORMATS, "multi_tag", broken)
    assert cli.main(["formats", "--round-trip", str(tmp_path), "--only", "multi_tag"]) == 1
    assert "FAILED multi_tag, record 'a-1'" in capsys.readouterr().out
