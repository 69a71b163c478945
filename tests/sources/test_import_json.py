"""Records, token rows, doccano, Label Studio, spaCy and LlamaFactory rows."""

import json
import sys
from dataclasses import replace

import pytest

from etlch.errors import EtlchError
from etlch.records import Record, Triple, dump_json, read_records
from etlch.sources import registry
from etlch.sources.base import Options


def rows(*items) -> str:
    return "".join(json.dumps(item, ensure_ascii=False) + "\n" for item in items)


# --- JSON itself ---


def test_a_line_that_is_not_json_is_refused_alone(importing):
    reading = importing(
        '{"id": 1, "text": "a", "label": []}\n{"id": 2, "te\n{"id": 3, "text": "c", "label": []}', "a.jsonl"
    )
    assert [r.id for r in reading.records] == ["1", "3"]
    assert "a.jsonl:2: not JSON" in reading.report.problems[0]


def test_an_array_is_read_up_to_its_first_mistake(importing):
    good = '[\n{"id": 1, "text": "a", "label": []},\n{"id": 2, "text": "b", "label": []},\n{"id": 3,'
    reading = importing(good, "a.json")
    assert [(r.id, r.source) for r in reading.records] == [("1", "a.json:2"), ("2", "a.json:3")]
    assert "a.json:4: not JSON" in reading.report.problems[0]
    assert "nothing after this was read" in reading.report.problems[0]
    assert "the array has no end" in importing(good[:-9], "a.json").report.problems[0]


def test_a_single_object_over_several_lines_is_one_row(importing):
    assert [
        r.text for r in importing(json.dumps({"text": "a b", "label": [[0, 1, "X"]]}, indent=2), "a.json").records
    ] == ["a b"]


def test_deep_nesting_is_refused_not_fatal(importing):
    reading = importing('{"id": 1, "text": "a", "label": []}\n' + "[" * 100_000 + "\n", "a.jsonl", format="doccano")
    assert (len(reading.records), reading.report.refused) == (1, 1)


# --- Records ---


def test_records_come_back_as_they_are(importing, record, tmp_path):
    line = dump_json(replace(record, source="here").to_json()) + "\n"
    reading = importing(line, "a.jsonl")
    assert reading.reader.name == "records"
    registry.write(reading, "records", Options(), tmp_path / "out.jsonl")
    assert (tmp_path / "out.jsonl").read_text("utf-8") == line


def test_record_texts_that_differ_by_a_blank_are_mended_and_others_refused(importing, found):
    def entity(text, start, end):
        return {"text": text, "type": "X", "spans": [[start, end]]}

    reading = importing(
        rows(
            {"id": "1", "text": "a serum b", "entities": [entity("serum ", 2, 7)]},
            {"id": "2", "text": "a serum b", "entities": [entity("plasma", 2, 7), entity("a", 0, 1)]},
            {"id": "3", "text": "a", "entities": [entity("a", 0, 9)]},
            {"id": "1", "text": "again"},
            {"id": "5", "text": 5},
            {"id": "6", "text": "a", "entities": [{"text": "a", "type": "X", "spans": [["0", 1]]}]},
            {"id": "7", "text": "  "},
        ),
        "a.jsonl",
        format="records",
    )
    assert found(reading) == [[("X", "serum", ((2, 7),))]]
    assert (reading.report.refused, reading.report.refused_mentions) == (6, 3)
    assert [problem.split("a.jsonl:")[1][:40] for problem in reading.report.problems] == [
        "2: entities[0]: [[2, 7]] slices to 'serum' (expe"[:40],
        "3: entities[0]: [0, 9] is outside the text"[:40],
        "4: id '1' again (first at "[:26] + reading.report.problems[2].split("first at ")[1][:14],
        "5: text: found 5 (expected a string)"[:40],
        "6: entities[0].spans: found ['0', 1] (ex"[:40],
        "7: the text is empty",
    ]


# --- tokens ---

TOKENS = {
    "tokens": ["IL-2", "gene", "of", "ER- cells"],
    "doc_id": "d",
    "sent_id": "d-0",
    "entity_mentions": [
        {"start": 0, "end": 1, "entity_type": "protein", "text": "IL-2"},
        {"start": 0, "end": 2, "entity_type": "DNA", "text": "IL-2 gene"},
        {"start": 3, "end": 4, "entity_type": "cell", "text": "ER- cells"},
    ],
}


def test_token_rows_count_tokens_and_are_written(importing, found):
    reading = importing(rows(TOKENS), "a.jsonl")
    assert (reading.reader.name, reading.records[0].id) == ("tokens", "d-0")
    assert found(reading) == [
        [("DNA", "IL-2 gene", ((0, 9),)), ("protein", "IL-2", ((0, 4),)), ("cell", "ER- cells", ((13, 22),))]
    ]
    written = json.loads(reading.reader.write(reading.records, Options()).files[""])
    assert written["tokens"] == ["IL-2", "gene", "of", "ER-", "cells"]  # a Record has blanks, no tokens
    assert [(m["text"], m["start"], m["end"]) for m in written["entity_mentions"]] == [
        ("IL-2 gene", 0, 2),
        ("IL-2", 0, 1),
        ("ER- cells", 3, 5),
    ]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"start": 3, "end": 9}, r"tokens \[3, 9\] are outside the sentence"),
        ({"start": "0"}, "expected whole numbers"),
        ({"entity_type": None}, "found the label None"),
        ({"text": "IL-3"}, "slices to 'IL-2'"),
    ],
)
def test_bad_token_mentions_are_refused(importing, change, problem):
    bad = {**TOKENS, "sent_id": "bad", "entity_mentions": [{**TOKENS["entity_mentions"][0], **change}]}
    with pytest.raises(EtlchError, match=rf"a\.jsonl:2: entity_mentions\[0\]: .*{problem}"):
        importing(rows(TOKENS, bad), "a.jsonl", strict=True)


# --- doccano ---


def test_doccano_labels_entities_and_relations(importing, found):
    reading = importing(
        rows(
            {"id": 7, "text": "Ann met Bob", "label": [[0, 3, "PER"], [8, 11, "PER"]], "Comments": []},
            {
                "id": 8,
                "data": "Ann met Bob",
                "entities": [
                    {"id": 1, "label": "PER", "start_offset": 0, "end_offset": 3},
                    {"id": 2, "label": "PER", "start_offset": 8, "end_offset": 11},
                ],
                "relations": [{"id": 1, "from_id": 1, "to_id": 2, "type": "met"}],
            },
        ),
        "a.jsonl",
        format="doccano",
        id_prefix="mine",
    )
    assert found(reading) == [[("PER", "Ann", ((0, 3),)), ("PER", "Bob", ((8, 11),))]] * 2
    assert reading.records[1].triples == (Triple("Ann", "met", "Bob", "PER", "PER"),)
    assert [r.id for r in reading.records] == ["mine-7", "mine-8"]


def test_doccano_counts_utf16_units_unless_told_otherwise(importing, found):
    """The example of doccano's issue 2290: 22 to 32 in doccano, 19 to 29 in Python."""
    text = "\U0001f468\U0001f3fb\u200d\U0001f692 firemen drive firetrucks"
    start = text.index("firetrucks")
    utf16 = len(text[:start].encode("utf-16-le")) // 2
    assert (start, utf16) == (19, 22)
    reading = importing(rows({"id": 1, "text": text, "label": [[22, 32, "X"]]}), "a.jsonl")
    assert found(reading) == [[("X", "firetrucks", ((19, 29),))]]
    assert "UTF-16" in next(iter(reading.report.notes))
    either = importing(rows({"id": 1, "text": "😀 Ann met Bob", "label": [[3, 6, "X"]]}), "a.jsonl")  # or "nn "
    assert found(either) == [[("X", "Ann", ((2, 5),))]]
    python = importing(rows({"id": 1, "text": text, "label": [[19, 29, "X"]]}), "a.jsonl", offset_unit="codepoint")
    assert found(python) == [[("X", "firetrucks", ((19, 29),))]]


def test_an_offset_inside_a_surrogate_pair_is_refused(importing):
    with pytest.raises(EtlchError, match="offset 1 is inside a character"):
        importing(
            rows({"id": 1, "text": "😀😀 a", "label": [[1, 3, "X"]]}), "a.jsonl", offset_unit="utf16", strict=True
        )


@pytest.mark.parametrize(
    ("label", "problem"),
    [
        ([[0, 99, "X"]], r"\[0, 99\] is outside the text"),
        ([[0, "3", "X"]], "expected whole numbers"),
        (["positive"], "found 'positive' .expected .start, end, type"),
        ([[0, 3, 5]], "found the label 5"),
        ("positive", "expected a list"),
    ],
)
def test_bad_doccano_labels_are_refused(importing, label, problem):
    with pytest.raises(EtlchError, match=rf"a\.jsonl:1.*{problem}"):
        importing(rows({"id": 1, "text": "Ann met", "label": label}), "a.jsonl", format="doccano", strict=True)


# --- offsets, whatever the format ---


def offsets_as(format: str, spans: list[tuple[int, int]]) -> dict:
    """One row of a format with mentions of these offsets and nothing else."""
    text = "Ann met Bob"
    dicts = [{"start": start, "end": end, "label": "X"} for start, end in spans]
    results = [{"type": "labels", "value": {"start": s, "end": e, "labels": ["X"]}} for s, e in spans]
    return {
        "doccano": {"id": 1, "text": text, "label": [[start, end, "X"] for start, end in spans]},
        "spacy-jsonl": {"text": text, "spans": dicts},
        "labelstudio": {"id": 1, "data": {"text": text}, "annotations": [{"result": results}]},
    }[format]


@pytest.mark.parametrize("format", ["doccano", "spacy-jsonl", "labelstudio"])
def test_overlapping_mentions_are_kept_and_counted(importing, found, format):
    reading = importing(rows(offsets_as(format, [(4, 11), (0, 7), (4, 7)])), "a.jsonl", format=format)
    assert found(reading) == [[("X", "Ann met", ((0, 7),)), ("X", "met Bob", ((4, 11),)), ("X", "met", ((4, 7),))]]
    assert reading.report.shapes == {"crossing": 1, "nested": 1}
    assert (reading.report.refused, reading.report.repaired) == (0, {})


@pytest.mark.parametrize("format", ["doccano", "spacy-jsonl", "labelstudio"])
@pytest.mark.parametrize("span", [(8, 12), (-1, 3), (3, 3), (7, 4), (99, 100)])
def test_offsets_outside_the_text_get_the_record_refused_and_strict_stops_there(importing, format, span):
    content = rows(offsets_as(format, [(0, 3)]) | {"id": 8}, offsets_as(format, [(0, 3), span]) | {"id": 9})
    reading = importing(content, "a.jsonl", format=format)
    assert (len(reading.records), reading.report.refused, reading.report.refused_mentions) == (1, 1, 2)
    problem = rf"a\.jsonl:2: \w+\[1\]: \[{span[0]}, {span[1]}\] is outside the text \(expected 0 <= start < end <= 11\)"
    with pytest.raises(EtlchError, match=problem):
        importing(content, "a.jsonl", format=format, strict=True)


# --- Label Studio ---


def task(text, *values, task_id=1, relations=(), **annotation):
    results = [
        {"id": f"r{n}", "from_name": "label", "to_name": "text", "type": "labels", "value": {**value, "labels": ["X"]}}
        for n, value in enumerate(values)
    ]
    return {"id": task_id, "data": {"text": text}, "annotations": [{"result": [*results, *relations], **annotation}]}


def test_label_studio_regions_and_relations(importing, found):
    relation = {"type": "relation", "from_id": "r0", "to_id": "r1", "direction": "left", "labels": ["met_by"]}
    choice = {"type": "choices", "value": {"choices": ["good"]}, "id": "c"}
    export = [
        task(
            "Ann met Bob", {"start": 0, "end": 3, "text": "Ann"}, {"start": 8, "end": 11}, relations=[relation, choice]
        ),
        task("nothing", task_id=2, was_cancelled=True),
        task("none", task_id=3),
    ]
    reading = importing(json.dumps(export, indent=1), "a.json")
    assert reading.reader.name == "labelstudio"
    assert found(reading) == [[("X", "Ann", ((0, 3),)), ("X", "Bob", ((8, 11),))], []]
    assert reading.records[0].triples == (Triple("Bob", "met_by", "Ann", "X", "X"),)
    assert reading.report.notes["results of type 'choices' have no place in a record"].count == 1
    assert "no annotation" in reading.report.problems[0]


def test_label_studio_json_min(importing, found):
    label = [{"start": 0, "end": 3, "text": "Ann", "labels": ["PER", "HUMAN"]}]
    reading = importing(json.dumps([{"id": 4, "text": "Ann met Bob", "label": label, "annotator": 1}]), "a.json")
    assert reading.reader.name == "labelstudio"
    assert found(reading) == [[("PER", "Ann", ((0, 3),)), ("HUMAN", "Ann", ((0, 3),))]]


@pytest.mark.parametrize(("start", "end", "repaired"), [(13, 23, 1), (12, 22, 0)])
def test_label_studio_before_and_after_code_points(importing, found, start, end, repaired):
    """Issue 1347: 13 to 23 by a browser that counts UTF-16 units, 12 to 22 in code points."""
    export = [task("💩This is an annotation.", {"start": start, "end": end, "text": "annotation"})]
    reading = importing(json.dumps(export), "a.json")
    assert found(reading) == [[("X", "annotation", ((12, 22),))]]
    assert len(reading.report.repaired) == repaired


def test_label_studio_text_under_another_name(importing):
    export = [{"id": 1, "data": {"article": "a b", "note": "x"}, "annotations": [{"result": []}]}]
    with pytest.raises(EtlchError, match=r"text: found nothing .*the row has article, note: --text-column"):
        importing(json.dumps(export), "a.json", strict=True)
    assert importing(json.dumps(export), "a.json", text_column="article").records[0].text == "a b"


# --- spaCy ---


def test_spacy_shapes(importing, found):
    expected = [[("PER", "Ann", ((0, 3),)), ("PER", "Bob", ((8, 11),))]]
    spans = [{"start": 0, "end": 3, "label": "PER"}, {"start": 8, "end": 11, "label": "PER"}]
    text = "Ann met Bob"
    for row in (
        {"text": text, "spans": spans, "answer": "accept"},
        {"text": text, "ents": spans, "tokens": []},
        {"text": text, "entities": [[0, 3, "PER"], [8, 11, "PER"]]},
        [text, {"entities": [[0, 3, "PER"], [8, 11, "PER"]]}],
        {"text": text, "spans": {"sc": spans}},
    ):
        reading = importing(rows(row), "a.jsonl")
        assert reading.reader.name == "spacy-jsonl"
        assert found(reading) == expected
    assert found(importing(json.dumps([[text, {"entities": [[0, 3, "PER"]]}]]), "a.json", format="spacy-jsonl")) == [
        expected[0][:1]
    ]


def test_prodigy_answers_and_relations(importing):
    ann, bob = ({"start": s, "end": s + 3, "label": "PER"} for s in (0, 8))
    good = {
        "text": "Ann met Bob",
        "spans": [ann, bob],
        "relations": [{"head_span": ann, "child_span": bob, "label": "met"}],
    }
    reading = importing(rows({**good, "answer": "accept"}, {**good, "answer": "reject"}), "a.jsonl")
    assert [r.triples for r in reading.records] == [(Triple("Ann", "met", "Bob", "PER", "PER"),)]
    assert reading.report.notes["examples answered 'reject' left out"].count == 1


def test_spacy_files_say_what_is_missing(importing, monkeypatch):
    monkeypatch.setitem(sys.modules, "spacy", None)
    with pytest.raises(EtlchError, match=r"a\.spacy: spaCy is needed .*pip install 'etlch\[spacy\]'"):
        importing(b"x", "a.spacy")


def test_spacy_files(importing, found, tmp_path):
    spacy = pytest.importorskip("spacy", reason="spaCy is an extra: pip install 'etlch[spacy]'")
    from spacy.tokens import DocBin

    nlp = spacy.blank("en")
    doc = nlp("😀 Ann met Bob")
    doc.ents = [doc.char_span(2, 5, label="PER")]
    doc.spans["sc"] = [doc.char_span(2, 13, label="EVENT"), doc.char_span(2, 5, label="PER")]
    DocBin(docs=[doc, nlp("none")]).to_disk(tmp_path / "b.spacy")
    reading = registry.read(tmp_path / "b.spacy", "", Options())
    assert found(reading) == [[("EVENT", "Ann met Bob", ((2, 13),)), ("PER", "Ann", ((2, 5),))], []]
    assert reading.report.repaired["the same mention twice; kept once"].count == 1
    with pytest.raises(EtlchError, match="not a DocBin"):
        importing(b"not a docbin", "a.spacy")


# --- LlamaFactory ---


def test_alpaca_answers_are_read_with_the_formats_of_scoring(importing):
    def alpaca(output, **extra):
        return {"instruction": "NER", "input": "Ann met Bob", "output": output, **extra}

    export = [alpaca('{"PER": ["Ann", "Bob"]}', id="x"), alpaca('```json\n{"PER": ["Cy"]}\n```'), alpaca("sorry")]
    reading = importing(json.dumps(export), "a.json", answer_format="json_entities")
    assert [[(e.type, e.text, e.spans) for e in r.entities] for r in reading.records] == [
        [("PER", "Ann", ()), ("PER", "Bob", ())],
        [("PER", "Cy", ())],
    ]
    assert [r.id for r in reading.records] == ["x", "a-2"]
    assert reading.report.repaired["answers not json_entities to the letter"].count == 1
    assert reading.report.notes["mentions that do not stand in their text"].count == 1
    assert "the answer 'sorry' is not json_entities" in reading.report.problems[0]
    fields = importing(json.dumps(export), "a.json")
    assert fields.records[0].fields == {"PER": ["Ann", "Bob"]}
    assert "json_entities would fit as well" in next(iter(fields.report.notes))


def test_triples_are_told_by_their_lines(importing):
    answer = "【一、三元組格式（主詞－關係－受詞）】\n台北－位於－台灣"
    reading = importing(json.dumps([{"instruction": "x", "input": "台北位於台灣", "output": answer}]), "a.json")
    assert reading.records[0].triples == (Triple("台北", "位於", "台灣"),)


def test_the_common_instruction_is_taken_off(importing):
    pairs = [("Extract.\nAnn met Bob", "Ann"), ("Extract.\nAl ran", "Al")]
    export = [
        {"conversations": [{"from": "human", "value": prompt}, {"from": "gpt", "value": json.dumps({"P": [name]})}]}
        for prompt, name in pairs
    ]
    assert [r.text for r in importing(json.dumps(export), "a.json").records] == ["Ann met Bob", "Al ran"]
    openai = [
        {"messages": [{"role": "system", "content": "s"}, *({"role": role, "content": text} for role, text in turns)]}
        for turns in [[("user", prompt), ("assistant", json.dumps({"P": [name]}))] for prompt, name in pairs]
    ]
    assert [r.fields for r in importing(rows(*openai), "a.jsonl").records] == [{"P": ["Ann"]}, {"P": ["Al"]}]


def test_universal_ner_conversations(importing):
    turns = [
        ("human", "Text: Ann met Bob"),
        ("gpt", "I've read this text."),
        ("human", "What describes person in the text?"),
        ("gpt", '["Ann", "Bob"]'),
        ("human", "What describes place in the text?"),
        ("gpt", "[]"),
    ]
    row = {"id": "n0", "conversations": [{"from": who, "value": said} for who, said in turns]}
    reading = importing(json.dumps([row]), "a.json")
    assert [(r.id, r.text, [(e.type, e.text) for e in r.entities]) for r in reading.records] == [
        ("n0", "Ann met Bob", [("person", "Ann"), ("person", "Bob")])
    ]
    row["conversations"][3]["value"] = "none"
    with pytest.raises(EtlchError, match=r"turn 2: found the answer 'none' .expected a JSON list"):
        importing(json.dumps([row]), "a.json", strict=True)


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"instruction": "x", "output": 5}, "output: found 5"),
        ({"instruction": "x", "input": "y", "output": "{}", "history": [["a", "b"]]}, "history: found earlier turns"),
        ({"conversations": [{"from": "gpt", "value": "x"}, {"from": "human", "value": "y"}]}, "found the role 'gpt'"),
        ({"conversations": [{"from": "human", "value": "x"}]}, "found 1 messages"),
    ],
)
def test_bad_rows_are_refused(importing, row, problem):
    with pytest.raises(EtlchError, match=rf"a\.jsonl:1: .*{problem}"):
        importing(rows(row), "a.jsonl", format="llamafactory", strict=True)


def test_an_unknown_answer_format_names_the_known_ones(importing):
    row = {"instruction": "x", "input": "y", "output": "{}"}
    with pytest.raises(EtlchError, match=r"--answer-format: found 'xml' .expected one of json_fields"):
        importing(rows(row), "a.jsonl", answer_format="xml")


def test_what_was_built_here_reads_back_as_its_gold(importing, root, record):
    """`etlch data` writes alpaca rows; reading them gives the records' own answers back."""
    from etlch.tasks import load_cards

    for card in load_cards(root / "tasks", built=True):
        asked = record if card.language == record.lang else next(iter(read_records(root / card.test)))
        row = {"id": asked.id, "instruction": card.question(asked), "input": asked.text, "output": card.answer(asked)}
        (read,) = importing(rows(row), "a.jsonl", answer_format=card.format.name).records
        assert (
            card.answer(Record(read.id, read.text, entities=read.entities, triples=read.triples, fields=read.fields))
            == row["output"]
        )


def test_written_records_are_what_read_records_takes(importing, tmp_path):
    reading = importing(rows({"id": 1, "text": "Ann", "label": [[0, 3, "PER"]]}), "a.jsonl")
    registry.write(reading, "records", Options(), tmp_path / "out.jsonl")
    assert list(read_records(tmp_path / "out.jsonl")) == reading.records


def test_alpaca_columns_can_be_named(importing):
    row = {"q": "NER", "x": "Ann met Bob", "a": '{"PER": ["Ann"]}'}
    with pytest.raises(EtlchError, match=r"instruction: found None .*the row has q, x, a: --columns names those"):
        importing(rows(row), "a.jsonl", format="llamafactory", strict=True)
    reading = importing(rows(row), "a.jsonl", format="llamafactory", columns=("q", "x", "a"))
    assert (reading.records[0].text, reading.records[0].fields) == ("Ann met Bob", {"PER": ["Ann"]})
    with pytest.raises(EtlchError, match=r"--columns: found q,x \(expected those of prompt, query and response"):
        importing(rows(row), "a.jsonl", format="llamafactory", columns=("q", "x"))
