"""`etlch extract` in a script: results on standard output or in a file, a number at the end, one line for an error."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from scripted import Fail, Say, Server
from scripted_engine import Scripted, names_in

from etlch import cli
from etlch.extract.extractor import Extractor


@pytest.fixture
def etlch(root, tiny, monkeypatch, capsys):
    """Runs the command with a scripted engine; returns status, standard output and error."""
    monkeypatch.chdir(root)
    monkeypatch.setattr(Extractor, "engine", property(lambda self: Scripted(names_in)))

    def run(*arguments):
        status = cli.main(["extract", "--model", tiny, *map(str, arguments)])
        done = capsys.readouterr()
        return status, done.out, done.err

    return run


def test_texts_become_lines(etlch):
    status, out, err = etlch("--text", "甲1乙走了。", "--text", "甲2乙也走了。")
    assert status == 0
    assert [json.loads(line)["values"][0]["text"] for line in out.splitlines()] == ["甲1乙", "甲2乙"]
    assert err.splitlines()[-1].startswith("2 documents, 0 failed; 2 values, 0 of them not found in the text; ")


def test_some_failed_is_one_and_the_others_are_written(etlch, tmp_path):
    (tmp_path / "a.txt").write_text("甲1乙走了。")
    (tmp_path / "b.txt").write_text("")
    (tmp_path / "c.bin").write_bytes(b"\0\1")
    out = tmp_path / "out" / "found.json"
    status, shown, err = etlch(tmp_path / "a.txt", tmp_path / "b.txt", tmp_path / "c.bin", "--out", out)
    assert (status, shown) == (1, "")
    assert [row["id"] for row in json.loads(out.read_text())] == [str(tmp_path / "a.txt")]
    assert f"failed: {tmp_path / 'b.txt'}: an empty document\n" in err
    assert f"failed: {tmp_path / 'c.bin'}: a binary file" in err


def test_all_failed_is_an_error_and_nothing_is_written(etlch, tmp_path):
    (tmp_path / "b.txt").write_text(" ")
    status, _, err = etlch(tmp_path / "b.txt", "--out", tmp_path / "x.csv")
    assert status == 2 and err.endswith("error: no document could be extracted from\n")
    assert [p.name for p in tmp_path.iterdir()] == ["b.txt"]


def test_strict_leaves_out_what_is_not_in_the_text(etlch, monkeypatch):
    monkeypatch.setattr(Extractor, "engine", property(lambda self: Scripted(lambda _: '{"人物": ["李白", "甲1乙"]}')))
    for flag, expected in ((), [None, [0, 3]]), (("--strict",), [[0, 3]]):
        _, out, _ = etlch("--text", "甲1乙走了。", *flag)
        assert [value["span"] for value in json.loads(out)["values"]] == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no document (expected files, folders, - for standard input, or --text TEXT)"),
        (["no.txt"], "no.txt: no such file or folder"),
        (["--text", "甲", "--task", "x"], "task 'x': no such card"),
        (["--text", "甲", "--adapter", "runs/x"], "runs/x: no adapter there"),
        (["--text", "甲", "--format", "turtle"], "--format turtle is for triples"),
        (["--text", "甲", "--out", "/proc/x/y.csv"], "/proc/x/y.csv: cannot be written"),
    ],
)
def test_errors_are_two_and_one_line(etlch, arguments, message):
    status, out, err = etlch(*arguments)
    assert (status, out) == (2, "")
    assert err.splitlines()[-1].startswith(f"error: {message}")


@pytest.mark.slow
def test_a_model_answers_by_the_schema_and_a_full_device_is_an_error(root, tiny, tmp_path):
    (tmp_path / "a.txt").write_text("藍鯨是鬚鯨科的海洋哺乳動物，體重能超過150公噸。" * 3, encoding="utf-8")
    command = [str(Path(sys.executable).with_name("etlch")), "extract", str(tmp_path / "a.txt")]
    options = ["--task", "json", "--keys", "生物,度量", "--schema", "--model", tiny]
    made = subprocess.run([*command, *options], cwd=root, capture_output=True, text=True, timeout=300)
    assert made.returncode == 0, made.stderr
    row = json.loads(made.stdout)
    assert row["status"] in ("ok", "repaired")
    assert {value["label"] for value in row["values"]} <= {"生物", "度量"}
    with open("/dev/full", "w") as full:
        made = subprocess.run(
            [*command, *options], cwd=root, stdout=full, stderr=subprocess.PIPE, text=True, timeout=300
        )
    assert made.returncode == 2
    assert made.stderr.splitlines()[-1] == "error: standard output: cannot be written (No space left on device)"


def test_a_server_answers_instead_and_nothing_is_paid_twice(root, tiny, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(root)
    out, paid = tmp_path / "found.jsonl", tmp_path / ".found.jsonl.paid.jsonl"
    command = ["extract", "--task", "ner", "--text", "甲1乙走了。", "--text", "甲2乙走了。", "--out", str(out)]
    command += [
        "--engine",
        "endpoint",
        "--model",
        tiny,
        "--send",
        "text",
        "--backoff",
        "0.01",
        "--retries",
        "0",
        "--concurrency",
        "1",
    ]
    fails = True

    def say(call):
        names = re.findall("甲.乙", call.prompt)
        return Fail(500) if fails and names == ["甲2乙"] else Say(json.dumps({"人物": names}))

    with Server(say) as server:
        assert cli.main([*command, "--base-url", server.url]) == 2
        assert "1 of 2 prompts have no answer" in capsys.readouterr().err
        assert not out.exists() and len(paid.read_text().splitlines()) == 1
        fails = False
        assert cli.main([*command, "--base-url", server.url]) == 0
        assert len(server.calls) == 3 and all("執行 NER 任務" in call.prompt for call in server.calls)
    found = [json.loads(line)["values"] for line in out.read_text().splitlines()]
    assert [[value["text"] for value in values] for values in found] == [["甲1乙"], ["甲2乙"]]
    assert not paid.exists()


def test_a_server_that_is_not_there_is_one_error(root, tiny, monkeypatch, capsys):
    monkeypatch.chdir(root)
    command = ["extract", "--text", "甲1乙走了。", "--engine", "endpoint", "--base-url", "http://127.0.0.1:9/v1"]
    assert cli.main([*command, "--model", tiny, "--retries", "0"]) == 2
    assert "http://127.0.0.1:9/v1" in capsys.readouterr().err.splitlines()[-1]
