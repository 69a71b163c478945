"""Whatever a user has is read a document at a time, and what cannot be read says so by name."""

import io
from types import SimpleNamespace

import pandas as pd
import pytest

from etlch.errors import EtlchError
from etlch.extract.documents import Document, read


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_text_file_is_a_document_with_its_line_ends(folder):
    (folder / "a.txt").write_bytes("\ufeff甲\r\n乙\n".encode())
    assert list(read(["a.txt"])) == [Document("a.txt", "甲\r\n乙\n")]


def test_a_folder_is_all_files_in_it_but_the_hidden(folder):
    for name in ("b/2.txt", "b/1.md", "b/.git/x", "b/.hidden"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    assert [d.id for d in read(["b"])] == ["b/1.md", "b/2.txt"]


def test_tables_have_a_document_a_row(folder):
    frame = pd.DataFrame({"id": ["x", "y"], "body": ["甲\n乙", "丙,丁"]})
    frame.to_csv("t.csv", index=False)
    frame.to_csv("t.tsv", index=False, sep="\t")
    frame.to_parquet("t.parquet")
    frame.to_json("t.jsonl", orient="records", lines=True, force_ascii=False)
    for name in ("t.csv", "t.tsv", "t.parquet", "t.jsonl"):
        assert list(read([name], "body")) == [Document("x", "甲\n乙"), Document("y", "丙,丁")], name
    frame[["body"]].rename(columns={"body": "text"}).to_csv("u.csv", index=False)
    assert [d.id for d in read(["u.csv"])] == ["u.csv:3", "u.csv:4"]  # the line on which a row ends


def test_a_table_is_read_as_it_is_asked_for(folder):
    with open("big.csv", "w") as handle:
        handle.write("text\n" + "甲\n" * 200_000 + '"never closed')
    rows = read(["big.csv"])
    assert next(rows).text == "甲"


def test_standard_input_is_a_document(monkeypatch):
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO("甲".encode())))
    assert list(read(["-"])) == [Document("stdin", "甲")]


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"%PDF-1.7\0\1\2", "a binary file (expected text; for PDF or Word, convert it to text first)"),
        (
            "甲乙".encode("big5"),
            "not utf-8: found byte 0xA5 at 0 (expected text; --encoding names another, such as big5)",
        ),
    ],
    ids=["binary", "encoding"],
)
def test_what_is_no_text_says_so_and_others_are_read(folder, data, problem):
    (folder / "a.bin").write_bytes(data)
    (folder / "b.txt").write_text("甲")
    assert list(read(["a.bin", "b.txt"])) == [Document("a.bin", "", problem), Document("b.txt", "甲")]


def test_another_encoding_can_be_named(folder):
    (folder / "a.txt").write_bytes("甲乙".encode("big5"))
    assert next(read(["a.txt"], encoding="big5")).text == "甲乙"
    with pytest.raises(EtlchError, match="--encoding: found 'klingon'"):
        list(read(["a.txt"], encoding="klingon"))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing.txt", None, "missing.txt: no such file or folder .a text itself is given with --text"),
        ("t.csv", "a,b\n1,2\n", "t.csv: no column 'text' .expected one of its columns with --text-column: a, b"),
        ("t.jsonl", "[1]\n", "t.jsonl:1: found list"),
        ("t.jsonl", '{"text": "x"\n', "t.jsonl:1: not JSON"),
        ("t.parquet", "no parquet", "t.parquet: cannot be read as a table"),
        ("t.csv", b"text\n\xff\xfe\n", "t.csv: cannot be read as a table .*utf-8"),
    ],
)
def test_errors_name_the_file(folder, name, content, message):
    if content is not None:
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(EtlchError, match=message):
        list(read([name]))
