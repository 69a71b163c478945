"""CSV, TSV and Parquet: text and list columns, quoting, bad rows."""

import json

import pytest

from etlch.errors import EtlchError
from etlch.sources import registry
from etlch.sources.base import Options

CSV = 'id,text,people,places\n7,"Ann, Bob\nand Cy","[""Ann"", ""Bob""]",[]\n8,none,,"[\'x\']"\n'


def test_lists_as_json_and_as_python_writes_them(importing):
    reading = importing(CSV, "a.csv")
    assert [(r.id, r.text, r.fields, r.source) for r in reading.records] == [
        ("7", "Ann, Bob\nand Cy", {"people": ["Ann", "Bob"], "places": []}, "a.csv:2"),
        ("8", "none", {"people": [], "places": ["x"]}, "a.csv:4"),
    ]
    assert "columns of lists: people, places" in reading.report.notes


def test_lists_between_a_separator(importing):
    reading = importing("內容;人物\n甲與乙;甲、乙\n丙;\n", "a.csv", list_separator="、", lang="zh-TW")
    assert [(r.text, r.fields, r.lang) for r in reading.records] == [
        ("甲與乙", {"人物": ["甲", "乙"]}, "zh-TW"),
        ("丙", {"人物": []}, "zh-TW"),
    ]


def test_lists_as_entities(importing):
    reading = importing(CSV, "a.csv", columns=("people",), answer_format="json_entities")
    assert [[(e.type, e.text) for e in r.entities] for r in reading.records] == [
        [("people", "Ann"), ("people", "Bob")],
        [],
    ]
    assert not reading.records[0].fields


def test_a_tsv_without_tags_is_a_table(importing):
    assert importing("text\tnote\na b\tO\nc d\tx\n", "a.tsv").reader.name == "csv"


@pytest.mark.parametrize(
    ("content", "options", "problem"),
    [
        ("id,body\n1,x\n", {}, r"a\.csv:1: none of text, article.* \(the columns are id, body: --text-column"),
        ("id,text\n1,x\n", {"text_column": "body"}, "no column 'body'"),
        ("text,text\nx,y\n", {}, "the column 'text' stands twice"),
        ("text\nx\n", {"columns": ("a",)}, "--columns: found 'a'"),
        ("text,a\nx,y,z\n", {}, r"a\.csv:2: found 3 cells: 'x,y,z' \(expected 2, as the header has\)"),
        ("text,a\nx,[1\n", {}, r"a\.csv:2: a: found '\[1' \(expected a list as JSON or Python"),
        ('text,a\nx,"[[1], 2]"\n', {}, r"a\.csv:2: a: found \[1\] in a list \(expected strings\)"),
        ("text,a\n,[]\n", {}, "the text is empty"),
        ("text\nx\n", {"answer_format": "triple_lines"}, "--answer-format: found 'triple_lines'"),
        ("text,a\n", {}, "no record could be read as csv"),
    ],
)
def test_bad_tables(importing, content, options, problem):
    with pytest.raises(EtlchError, match=problem):
        importing(content, "a.csv", strict=True, **options)


def test_numbers_in_lists_are_kept_as_written(importing):
    assert importing('text,a\nx,"[1, 2.5]"\n', "a.csv").records[0].fields == {"a": ["1", "2.5"]}


def test_parquet(importing, tmp_path):
    import pyarrow
    import pyarrow.parquet

    table = {"id": [1, 2, 3], "body": ["a b", "c", None], "people": [["a"], [], None], "note": ["x", "y", "z"]}
    pyarrow.parquet.write_table(pyarrow.table(table), tmp_path / "a.parquet")
    reading = registry.read(tmp_path / "a.parquet", "", Options(text_column="body"))
    assert [(r.id, r.text, r.fields) for r in reading.records] == [
        ("1", "a b", {"people": ["a"]}),
        ("2", "c", {"people": []}),
    ]
    assert "a.parquet: row 3: the text is empty" in reading.report.problems[0]
    with pytest.raises(EtlchError, match=r"b\.parquet: not Parquet"):
        importing(b"nonsense", "b.parquet", format="parquet")


def test_a_huge_cell_is_read(importing):
    assert len(importing("text,a\n" + "x" * 200_000 + "," + json.dumps([]) + "\n", "a.csv").records[0].text) == 200_000
