"""Every output says where values stand, can be read by others, and is written whole or not at all."""

import csv
import io
import json
import re

import networkx
import pytest

from etlch.errors import EtlchError
from etlch.extract import writers
from etlch.extract.values import Extraction, Relation, Value

TEXT = "藍鯨<b>是鬚鯨科\"鬚鯨屬'的&。\n"
NER = Extraction(
    "d&1",
    "ner",
    TEXT,
    "zh-TW",
    "repaired",
    ("not <JSON>",),
    (
        Value("生物", "藍鯨<b>", (0, 5)),
        Value("類", "藍鯨", (0, 2)),
        Value("生物", "鬚鯨屬", (10, 13)),
        Value("生物", "<虎鯨>"),
    ),
)
WHALE, CLASS, GONE = Value("", "藍鯨", (0, 2)), Value("", '鬚鯨科"鬚', (6, 11)), Value("", "大\x00象")
KGE = Extraction(
    "d2", "kge", TEXT, "zh-TW", values=(WHALE, CLASS, GONE), part="triples",
    triples=(Relation(WHALE, "屬 於", CLASS), Relation(WHALE, "屬 於", GONE)),
)  # fmt: skip


def whole(name, *found, triples=False):
    file = io.StringIO()
    writers.writer(name, None, triples)(file, iter(found))
    return file.getvalue()


def test_jsonl_and_json_say_the_same():
    lines = [json.loads(line) for line in whole("jsonl", NER, KGE).splitlines()]
    assert lines == json.loads(whole("json", NER, KGE))
    assert json.loads(whole("json")) == []
    assert lines[0]["values"][0] == {"label": "生物", "text": "藍鯨<b>", "span": [0, 5]}
    assert lines[0]["values"][3] == {"label": "生物", "text": "<虎鯨>", "span": None}
    assert lines[1]["triples"][0]["tail"] == {"text": '鬚鯨科"鬚', "span": [6, 11]}


def test_csv_has_a_row_a_value_or_a_triple():
    rows = list(csv.DictReader(io.StringIO(whole("csv", NER))))
    assert rows[0] == {"document": "d&1", "label": "生物", "text": "藍鯨<b>", "start": "0", "end": "5"}
    assert rows[3]["start"] == rows[3]["end"] == ""
    rows = list(csv.DictReader(io.StringIO(whole("csv", KGE, triples=True))))
    assert [rows[0][key] for key in ("head", "relation", "tail", "tail_start")] == ["藍鯨", "屬 於", '鬚鯨科"鬚', "6"]


def test_graphml_is_read_by_networkx(tmp_path):
    path = tmp_path / "g.graphml"
    path.write_text(whole("graphml", KGE, KGE, triples=True), encoding="utf-8")
    graph = networkx.read_graphml(path, force_multigraph=True)
    assert [data["label"] for _, data in graph.nodes(data=True)] == ["藍鯨", '鬚鯨科"鬚', "大\ufffd象"]
    edges = [data for *_, data in graph.edges(data=True)]
    assert len({key for *_, key in graph.edges(keys=True)}) == 4
    assert {key: edges[0][key] for key in ("relation", "document", "head", "tail")} == {
        "relation": "屬 於", "document": "d2", "head": "0-2", "tail": "6-11",
    }  # fmt: skip


def test_turtle_statements_are_of_its_grammar():
    iri, literal = r"<[^\x00-\x20<>\"{}|^`\\]*>", r'"(?:[^"\\\n\r]|\\[tbnrf"\'\\]|\\u[0-9A-Fa-f]{4})*"'
    thing = rf"(?:{iri}|[a-z]+:\w+|{literal}(?:@[A-Za-z-]+)?|\[\]|a|[0-9]+)"
    text = whole("turtle", KGE, triples=True)
    for line in filter(None, text.splitlines()):
        pattern = rf"@prefix \w+: {iri} \.|{thing} {thing} {thing}(?: ; {thing} {thing})* \."
        assert re.fullmatch(pattern, line), line
    assert "<urn:etlch:entity:藍鯨> <urn:etlch:relation:屬%20於> <urn:etlch:entity:鬚鯨科%22鬚> ." in text
    assert 'rdfs:label "大\\u0000象"@zh-TW' in text
    assert "etlch:tailStart 6 ; etlch:tailEnd 11" in text


def test_the_page_has_the_documents_and_nothing_from_elsewhere():
    page = whole("html", NER, KGE, triples=True)
    rows = [json.loads(row) for row in re.findall(r'<script type="application/json">(.*?)</script>', page)]
    assert [(row["id"], row["text"]) for row in rows] == [("d&1", TEXT), ("d2", TEXT)]
    assert rows[0]["values"][0] == {
        "label": "生物", "text": "藍鯨<b>", "span": [0, 5], "fragments": [], "answer": "",
    }  # fmt: skip
    assert "<虎鯨>" not in page and "<JSON>" not in page
    assert not re.search(r"src=|@import|\burl\((?!#)", page), "self-contained"


def test_the_format_is_the_ending_or_what_is_said(tmp_path):
    assert writers.writer("", tmp_path / "a.TTL", True) is writers._turtle
    assert writers.writer("", None, True) is writers._jsonl
    with pytest.raises(EtlchError, match=r"found the ending '.docx' .expected .jsonl, .json, .csv, .html"):
        writers.writer("", tmp_path / "a.docx", True)
    with pytest.raises(EtlchError, match="--format graphml is for triples"):
        writers.writer("graphml", None, False)


def test_a_file_is_whole_or_not_there(tmp_path):
    path = tmp_path / "new" / "a.jsonl"
    with pytest.raises(RuntimeError), writers.opened(path) as handle:
        handle.write("half")
        raise RuntimeError
    assert list(path.parent.iterdir()) == []
    with writers.opened(path) as handle:
        handle.write("\ud800whole")
    assert [p.name for p in path.parent.iterdir()] == ["a.jsonl"]


def test_a_full_disk_is_one_error_and_the_old_file_stays(tmp_path):
    import resource

    path = tmp_path / "a.jsonl"
    path.write_text("old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with (
            pytest.raises(EtlchError, match=r"a.jsonl: cannot be written .File too large"),
            writers.opened(path) as handle,
        ):
            handle.write("x" * 100_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [p.name for p in tmp_path.iterdir()] == ["a.jsonl"] and path.read_text() == "old"
