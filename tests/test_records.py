"""Records refuse what contradicts itself, and survive a round trip through JSONL."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etlch.errors import EtlchError
from etlch.records import Entity, Record, Triple, read_records, record_from_json, write_records, write_text


def test_round_trip_keeps_every_part(record, tmp_path):
    path = tmp_path / "r.jsonl"
    write_records(path, [record])
    assert list(read_records(path)) == [record]


def test_discontinuous_entity_joins_its_fragments_with_a_blank():
    Record("a", "left and right arm", entities=(Entity("left arm", "x", ((0, 4), (15, 18))),))


@given(st.text(), st.text(min_size=1), st.lists(st.tuples(st.text(), st.text(), st.text())))
def test_any_text_round_trips(tmp_path_factory, text, name, triples):
    path = tmp_path_factory.mktemp("r") / "r.jsonl"
    record = Record(name, text, triples=tuple(Triple(*t) for t in triples))
    write_records(path, [record])
    assert list(read_records(path)) == [record]


def test_offsets_are_code_points():
    record = record_from_json(
        {"id": "a", "text": "😀台北", "entities": [{"text": "台北", "type": "x", "spans": [[1, 3]]}]}
    )
    assert record.entities[0].spans == ((1, 3),)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (
            '{"id": "a", "text": "台北市", "entities": [{"text": "台北", "type": "x", "spans": [[0, 3]]}]}',
            "slices to '台北市'",
        ),
        ('{"id": "a", "text": "ab", "entities": [{"text": "b", "type": "x", "spans": [[1, 9]]}]}', "outside the text"),
        ('{"id": "a", "text": "ab", "entities": [{"text": "b", "type": "x", "spans": [[1]]}]}', "entities[0].spans"),
        ('{"id": "a"}', "text: found nothing"),
        ('{"id": "", "text": "a"}', "id: empty"),
        ('{"id": "a", "text": "a", "fields": {"k": "v"}}', "fields['k']"),
        ('{"id": "a", "text": "a", "triples": [{"head": "a", "relation": "b"}]}', "triples[0].tail"),
        ('{"id": "a", "text": "a", "entity": []}', "unknown field 'entity'"),
        ("[1]", "found list"),
        ('{"id": "a", "text": "a', "not JSON"),
    ],
)
def test_a_bad_record_names_file_line_and_field(tmp_path, row, expected):
    path = tmp_path / "bad.jsonl"
    path.write_text('{"id": "first", "text": "a"}\n' + row, encoding="utf-8")
    with pytest.raises(EtlchError) as error:
        list(read_records(path))
    assert f"{path}:2:" in str(error.value)
    assert expected in str(error.value)


def test_other_encodings_and_repeated_ids_are_refused(tmp_path):
    path = tmp_path / "r.jsonl"
    path.write_bytes('{"id": "a", "text": "台北"}\n'.encode("big5"))
    with pytest.raises(EtlchError, match="not UTF-8"):
        list(read_records(path))
    path.write_text('{"id": "a", "text": "x"}\n\n{"id": "a", "text": "y"}\n')
    with pytest.raises(EtlchError, match=r":3: id 'a' again \(first on line 1\)"):
        list(read_records(path))


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "r.txt"
    write_text(path, "old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(EtlchError, match="No space left on device"):
        write_text(path, "new")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["r.txt"]
