"""Every format gives back what it rendered, and reads any string without raising."""

import json
import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etlch.formats import FORMATS, FormatError, Schema
from etlch.records import Entity, Record, Triple

TEXT = st.text(min_size=1, max_size=20)
PART = TEXT.filter(lambda s: s == s.strip() and "－" not in s and len(s.splitlines()) == 1)


@given(st.dictionaries(TEXT, st.lists(TEXT, max_size=4), min_size=1, max_size=5))
def test_json_fields_round_trip(fields):
    record = Record("a", "x", fields=fields)
    schema = Schema(tuple(fields))
    parsed = FORMATS["json_fields"].parse(FORMATS["json_fields"].render(record, schema), schema, "")
    assert parsed.status == "ok"
    assert {key: list(values) for key, values in parsed.fields} == fields


@given(st.lists(st.tuples(TEXT, TEXT), unique=True, max_size=6))
def test_json_entities_round_trip(pairs):
    record = Record("a", "x", entities=tuple(Entity(text, kind) for text, kind in pairs))
    parsed = FORMATS["json_entities"].parse(FORMATS["json_entities"].render(record, Schema()), Schema(), "")
    assert parsed.status == "ok"
    assert set(parsed.entities) == set(record.entities)


@given(st.lists(st.tuples(PART, PART, PART), unique=True, max_size=6))
def test_triples_round_trip(parts):
    """Whatever the text has is kept; what looks like a mark around a line and is not in the text is refused."""
    text = "\n".join(part for triple in parts for part in triple)
    for source in (text, ""):
        record = Record("a", source, triples=tuple(Triple(*p) for p in parts))
        try:
            answer = FORMATS["triple_lines"].render(record, Schema())
        except FormatError:
            assert not source or any(not a[0].isalnum() or b[-1] in "。．；;，,、." for a, _, b in parts)
            continue
        parsed = FORMATS["triple_lines"].parse(answer, Schema(), source)
        assert parsed.status == "ok"
        assert parsed.triples == record.triples


def test_the_layouts_are_the_papers(record):
    assert FORMATS["triple_lines"].render(record, Schema()) == (
        "【一、三元組格式（主詞－關係－受詞）】\n臺灣大學醫學院－位於－台北市\n杜聰明－擔任－院長"
    )
    assert json.loads(FORMATS["json_entities"].render(record, Schema())) == {
        "組織": ["臺灣大學醫學院", "臺灣大學"],
        "地理地區": ["台北市"],
        "人物": ["杜聰明"],
        "時間": ["1945年"],
        "專業": ["院長"],
    }


@pytest.mark.parametrize("part", ["", " 甲", "甲－乙", "甲\n乙", "甲\u2028乙"])
def test_triples_that_a_line_cannot_hold_are_refused(part):
    with pytest.raises(FormatError):
        FORMATS["triple_lines"].render(Record("a", "x", triples=(Triple(part, "r", "t"),)), Schema())


def test_a_field_outside_the_schema_is_refused():
    with pytest.raises(FormatError, match="'b' is not in the schema"):
        FORMATS["json_fields"].render(Record("a", "x", fields={"b": []}), Schema(("a",)))


@pytest.mark.parametrize(
    ("line", "source", "expected"),
    [
        ("甲－乙－丙", "", ("甲", "乙", "丙")),
        ("甲 — 乙 — 丙", "", ("甲", "乙", "丙")),
        ("甲–乙–丙", "", ("甲", "乙", "丙")),
        ("甲 - 乙 - 丙", "", ("甲", "乙", "丙")),
        ("甲-乙-丙", "", ("甲", "乙", "丙")),
        ("甲——乙——丙", "", ("甲", "乙", "丙")),
        ("COVID-19－引起－肺炎", "", ("COVID-19", "引起", "肺炎")),
        ("COVID-19 - 引起 - X-光", "", ("COVID-19", "引起", "X-光")),
        ("COVID-19-引起-肺炎", "COVID-19會引起肺炎", ("COVID-19", "引起", "肺炎")),
        ("甲－非-線性－丙", "", ("甲", "非-線性", "丙")),
        ("1. 甲－乙－丙", "甲和丙", ("甲", "乙", "丙")),
        ("1. 甲－乙－丙", "1. 甲和丙", ("1. 甲", "乙", "丙")),
        ("- 甲 - 乙 - 丙", "甲和丙", ("甲", "乙", "丙")),
    ],
)
def test_triple_separators(line, source, expected):
    parsed = FORMATS["triple_lines"].parse(f"【一、三元組格式（主詞－關係－受詞）】\n{line}", Schema(), source)
    assert [(t.head, t.relation, t.tail) for t in parsed.triples] == [expected]


AB = [("甲", "r", "乙")]
ABCD = [("甲", "r", "乙"), ("丙", "s", "丁")]
SOURCE = "甲在乙。丙和丁。1. FC Köln在科隆。Apple Inc.的COVID-19疫苗。Trees absorb carbon dioxide."


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (mark + "甲－r－乙", AB)
        for mark in ("1、", "（1）", "(1)", "1.", "1)", "２、", "一、", "①", "❶", "•", "・", "-", "* ", "> ")
    ]
    + [("甲－r－乙" + end, AB) for end in "。；，、"]
    + [(f"{a}甲－r－乙{b}", AB) for a, b in ("（）", "()", "[]", "「」", "``")]
    + [(f"甲{cut}r{cut}乙", AB) for cut in ("→", " -> ", "=>", "\u2212", " \u2212 ", "\u2010", "｜", " | ", "\t")]
    + [(f"甲－r－乙{between}丙－s－丁", ABCD) for between in "；;。，、→ "]
    + [
        ("**甲－r－乙**", AB),
        ("**甲**－r－**乙**", AB),
        ("「甲」－「r」－「乙」", AB),
        ("1、（甲－r－乙）。", AB),
        ("**1. 甲－r－乙**", AB),
        ("甲 --r--> 乙", AB),
        ("甲－[r]→乙", AB),
        ("（甲，r，乙）", AB),
        ("| 甲 | r | 乙 |", AB),
        ("三元組1：甲－r－乙", AB),
        ("【甲－r－乙】", AB),
        ("1. 甲－r－乙 2. 丙－s－丁", ABCD),
        ("①甲－r－乙②丙－s－丁", ABCD),
        ("甲→r→乙；丙→s→丁；", ABCD),
        ("甲－r－乙；以及；丙－s－丁", ABCD),
        ("COVID-19-r-乙；丙-s-丁", [("COVID-19", "r", "乙"), ("丙", "s", "丁")]),
        ("Trees－absorb－carbon dioxide.", [("Trees", "absorb", "carbon dioxide")]),
    ],
)
def test_triples_in_other_dress_are_read_and_told(line, expected):
    parsed = FORMATS["triple_lines"].parse(f"【一、三元組格式（主詞－關係－受詞）】\n{line}", Schema(), SOURCE)
    assert [(t.head, t.relation, t.tail) for t in parsed.triples] == expected
    assert parsed.status == "repaired" and parsed.problems


@pytest.mark.parametrize("line", ["1. FC Köln－在－科隆", "甲－是－Apple Inc.", "甲－r－丙、丁", "1905年－r－乙"])
def test_what_the_text_has_is_kept(line):
    parsed = FORMATS["triple_lines"].parse(f"【一、三元組格式（主詞－關係－受詞）】\n{line}", Schema(), SOURCE)
    assert ("－".join((t.head, t.relation, t.tail)) for t in parsed.triples).__next__() == line
    assert parsed.status == "ok"


@pytest.mark.parametrize(
    "line",
    [
        "甲－r",
        "甲，r，乙",
        "【二、說明】",
        "head－relation－tail",
        "1、主詞－關係－受詞",
        "|---|---|---|",
        "甲→r→乙→s→丙→t→丁",
        "```",
    ],
)
def test_a_line_that_is_no_triple_is_a_problem(line):
    parsed = FORMATS["triple_lines"].parse(f"【一、三元組格式（主詞－關係－受詞）】\n{line}", Schema(), "")
    assert (parsed.status, parsed.triples, len(parsed.problems)) == ("repaired", (), 1)


@pytest.mark.parametrize(
    "answer",
    [
        "{'PER': ['Bo'], 'LOC': ['Oslo', 'Ålesund']}",
        "{“PER”: [“Bo”], “LOC”: [“Oslo”, “Ålesund”]}",
        "｛＂PER＂：［＂Bo＂］，＂LOC＂：［＂Oslo＂，＂Ålesund＂］｝",
        "{「PER」：[「Bo」]，「LOC」：[「Oslo」、「Ålesund」]}",
        "{PER: [Bo], LOC: [Oslo, Ålesund]}",
        '{"PER"：["Bo"]，"LOC"：["Oslo"，"Ålesund"]}',
        '[{"PER": ["Bo"]}, {"LOC": ["Oslo", "Ålesund"]}]',
        '[{"PER": "Bo"}, {"LOC": "Oslo"}, {"LOC": "Ålesund"}]',
        '{\n // people\n "PER": ["Bo",],\n "LOC": ["Oslo" "Ålesund"],\n}',
        '{"PER": ["Bo], "LOC: ["Oslo, "Ålesund"]}',
        '{"PER": ["Bo", ""], "LOC": ["Oslo", "Ålesund"], "": ["x"]}',
        '{"PER": ["Bo"], "LOC": ["Oslo", "Ålesund"\n```',
    ],
)
def test_json_in_other_dress(answer):
    parsed = FORMATS["json_entities"].parse(answer, Schema(), "")
    assert [(e.type, e.text) for e in parsed.entities] == [("PER", "Bo"), ("LOC", "Oslo"), ("LOC", "Ålesund")]
    assert parsed.status == "repaired" and parsed.problems
    fields = FORMATS["json_fields"].parse(answer, Schema(), "")
    assert (fields.status, fields.fields) == ("repaired", (("PER", ("Bo",)), ("LOC", ("Oslo", "Ålesund"))))


@pytest.mark.parametrize(
    ("body", "value"),
    [
        ('samsung 32" display', 'samsung 32" display'),
        ('the "big" one', 'the "big" one'),
        ('\\"big\\" and "small" ones', '"big" and "small" ones'),
        ('say "hi", then go', None),
        ('he said "note": fine', None),
        ('say, "hi" to me', None),
        ('32""', None),
    ],
)
def test_a_quote_that_is_not_escaped_costs_one_value_at_most(body, value):
    parsed = FORMATS["json_fields"].parse(f'{{"a": ["x", "{body}", "y"], "b": ["z"]}}', Schema(("a", "b")), "")
    fields = dict(parsed.fields)
    assert list(fields) == ["a", "b"] and fields["b"] == ("z",)
    assert {"x", "y"} <= set(fields["a"]) and (value is None or fields["a"] == ("x", value, "y"))


def test_an_empty_key_or_value_cannot_be_written():
    for fields in ({"": ["x"]}, {"a": [""]}):
        with pytest.raises(FormatError, match="empty"):
            FORMATS["json_fields"].render(Record("a", "x", fields=fields), Schema())


def test_what_is_said_again_is_kept_and_told():
    """A value 200 times is 200 values in every format: it costs precision in all tasks alike."""
    answers = {
        "json_entities": json.dumps({"a": ["甲"] * 200}, ensure_ascii=False),
        "triple_lines": "【一、三元組格式（主詞－關係－受詞）】" + "\n甲－r－乙" * 200,
        "multi_span": "Answer: [" + ", ".join(['{"span": [0, 1], "type": "a"}'] * 200) + "]",
    }
    for name, answer in answers.items():
        parsed = FORMATS[name].parse(answer, Schema(("a",) if name != "triple_lines" else ()), "甲乙")
        assert len(parsed.entities + parsed.triples) == 200
        assert (parsed.status, parsed.problems) == ("repaired", ("the same again (199 in all)",))


@pytest.mark.parametrize(
    ("answer", "status", "expected"),
    [
        ('{"人物": ["甲", "乙"]}', "ok", {("甲", "人物"), ("乙", "人物")}),
        ("{}", "ok", set()),
        ('```json\n{"人物": ["甲"]}\n```', "repaired", {("甲", "人物")}),
        ('好的：{"人物": ["甲"]}', "repaired", {("甲", "人物")}),
        ('{"人物": "甲"}', "repaired", {("甲", "人物")}),
        ('{"人物": ["甲", ["乙"]]}', "repaired", {("甲", "人物"), ("乙", "人物")}),
        ('{"人物": ["甲"], "人物": ["乙"]}', "repaired", {("甲", "人物"), ("乙", "人物")}),
        ('{"時間": [1905]}', "repaired", {("1905", "時間")}),
        ('{"人物": ["甲", "乙", "丙', "repaired", {("甲", "人物"), ("乙", "人物")}),
        ('{"人物": ["甲" "乙"], "地點": ["丙"', "repaired", {("甲", "人物"), ("乙", "人物"), ("丙", "地點")}),
        ('["甲"]', "invalid", set()),
        ("沒有", "invalid", set()),
        ("", "invalid", set()),
    ],
)
def test_json_answers_are_read_as_far_as_they_go(answer, status, expected):
    parsed = FORMATS["json_entities"].parse(answer, Schema(), "")
    assert parsed.status == status
    assert {(e.text, e.type) for e in parsed.entities} == expected


def test_missing_and_unasked_keys_are_reported():
    parsed = FORMATS["json_fields"].parse('{"a": [], "c": ["x"]}', Schema(("a", "b")), "")
    assert parsed.status == "repaired"
    assert parsed.problems == ("key 'c' was not asked for", "key 'b' is missing")


HOSTILE = [
    "\x00" * 1000,
    "\ud800{\udfff",
    "[" * 100_000,
    '{"a":' * 100_000,
    '{"a": ["' + '\\"' * 100_000,
    '"' * 100_001,
    "－" * 100_000,
    " - " * 50_000,
    "甲－乙－丙\n" * 20_000,
    '{"a": ' + "9" * 10_000 + "}",
    '{"a": [NaN, 1e999, -0, true, null]}',
]


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("answer", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_answers_neither_raise_nor_hang(name, answer):
    FORMATS[name].parse(answer, Schema(("a",)), "甲丙")


@pytest.mark.parametrize("name", FORMATS)
def test_parsing_is_linear(name):
    """Ten times the text may take at most some thirty times as long (quadratic would be a hundred)."""

    def seconds(size: int) -> float:
        answer = ('{"a": ["b\\"' * size + "甲－乙 - 丙\n" * size)[: 20 * size]
        best = []
        for _ in range(3):
            began = time.process_time()
            FORMATS[name].parse(answer, Schema(), "甲")
            best.append(time.process_time() - began)
        return max(min(best), 1e-3)

    assert seconds(50_000) < 30 * seconds(5_000) + 0.2


@pytest.mark.parametrize("name", ["triple_lines", "json_entities", "json_fields"])
def test_garbage_is_read_in_linear_time(name):
    units = [
        '"',
        "“",
        '" ',
        "']",
        '"a"b',
        "a,b",
        '"a, "',
        "{a:",
        "－",
        " - ",
        "-->",
        "a-b-c-d；",
        "1、",
        "((",
        "*a",
        "①",
        "【a】",
        "",
    ]
    rng = random.Random(7)
    for unit in units:

        def seconds(size: int, unit: str = unit) -> float:
            answer = (
                unit * (size // len(unit)) if unit else "".join(rng.choices("{}[]\"':,－-→；。 \n甲1、（*", k=size))
            )
            began = time.process_time()
            FORMATS[name].parse(answer, Schema(), "甲")
            return time.process_time() - began

        assert seconds(200_000) < 30 * max(seconds(20_000), 1e-3) + 0.5, unit


@settings(max_examples=300)
@given(st.text(alphabet='{}[]":,\\－-—【】 \n甲乙a1', max_size=60))
def test_any_string_parses(answer):
    for fmt in FORMATS.values():
        assert fmt.parse(answer, Schema(), "甲乙").status in ("ok", "repaired", "invalid")
