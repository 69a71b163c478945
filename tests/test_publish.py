"""`etlch push-data`: a folder that `datasets` loads, a card with front matter, and clear words without a Hub."""

import http.server
import json
import threading

import pytest
import yaml

from etlch.cli import main
from etlch.errors import EtlchError
from etlch.examples import publish
from etlch.records import write_records

CARD = """name: {name}
family: small
title: A task
language: zh-TW
format: {format}
instruction: Extract.
metrics: [rougeL]
wins: [rougeL]
train: data/small/train.jsonl
test: data/small/test.jsonl
scales: [1, 2]
"""


@pytest.fixture
def project(tmp_path, monkeypatch, record):
    """A repository with two tasks of family `small`, two training records and one test record."""
    from dataclasses import replace

    (tmp_path / "tasks").mkdir()
    for name, kind in (("ner", "json_entities"), ("kge", "triple_lines")):
        (tmp_path / "tasks" / f"{name}.yaml").write_text(CARD.format(name=name, format=kind), encoding="utf-8")
        for part, ids in (("2", ["a", "b"]), ("test", ["c"])):
            rows = [{"id": i, "instruction": "Extract.", "input": record.text, "output": name} for i in ids]
            path = tmp_path / "data" / "small" / f"{name}_{part}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(rows), encoding="utf-8")
    write_records(tmp_path / "data/small/train.jsonl", [replace(record, id=i) for i in "ab"])
    write_records(tmp_path / "data/small/test.jsonl", [replace(record, id="c", fields={})])
    (tmp_path / "data" / "README.md").write_text("# Data card\n\nAbout it.\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return tmp_path


@pytest.fixture
def saved(project, capsys):
    assert main(["push-data", "out/small", "--to-folder", "--family", "small"]) == 0
    return project / "out" / "small", capsys.readouterr().out


def test_the_folder_loads_with_datasets(saved, record, tmp_path):
    from datasets import load_dataset

    folder, printed = saved
    assert printed.splitlines()[0].split() == ["kge", "train", "2,", "test", "1"]
    ner = load_dataset(str(folder), "ner", cache_dir=str(tmp_path / "cache"))
    assert {split: list(rows["id"]) for split, rows in ner.items()} == {"train": ["a", "b"], "test": ["c"]}
    assert ner["train"][0] == {"id": "a", "instruction": "Extract.", "input": record.text, "output": "ner"}
    gold = load_dataset(str(folder), "records", cache_dir=str(tmp_path / "cache"))["train"][1]
    assert (gold["id"], gold["entities"][0]) == ("b", {"text": "臺灣大學醫學院", "type": "組織", "spans": [[0, 7]]})
    assert gold["fields"] == [{"key": "人物", "values": ["杜聰明"]}, {"key": "運輸", "values": []}]
    assert load_dataset(str(folder), "kge", split="train[:1]", cache_dir=str(tmp_path / "cache")).num_rows == 1


def test_the_card_has_front_matter_and_the_data_card(saved):
    folder, _ = saved
    _, front, body = (folder / "README.md").read_text("utf-8").split("---\n", 2)
    front = yaml.safe_load(front)
    assert (front["license"], front["language"], front["language_bcp47"]) == ("cc-by-4.0", ["zh"], ["zh-TW"])
    assert front["task_categories"] == ["text-generation", "token-classification"]
    assert [config["config_name"] for config in front["configs"]] == ["kge", "ner", "records"]
    paths = {file["path"] for config in front["configs"] for file in config["data_files"]}
    assert paths == {path.relative_to(folder).as_posix() for path in folder.rglob("*.parquet")}
    assert body.rstrip().endswith("# Data card\n\nAbout it.")
    assert 'split="train[:1]")  # the scales: 1, 2' in body


def test_a_folder_with_something_in_it_is_left_alone(saved, capsys):
    folder, _ = saved
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert main(["push-data", str(folder), "--to-folder", "--family", "small"]) == 2
    assert "is there already (expected a new or empty folder)" in capsys.readouterr().err
    assert before == {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert [path.name for path in folder.parent.iterdir()] == ["small"]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (
            lambda root: (root / "data/small/ner_2.json").unlink(),
            r"ner_2\.json: cannot be read .*`make data` builds it",
        ),
        (lambda root: (root / "data/small/ner_2.json").write_text("["), r"ner_2\.json: not JSON"),
        (lambda root: (root / "data/small/ner_2.json").write_text("[]"), r"ner_2\.json: no rows"),
        (lambda root: (root / "data/README.md").unlink(), r"data/README\.md: cannot be read"),
    ],
)
def test_what_was_not_built_is_named(project, change, problem):
    change(project)
    cards = publish.family_cards(project, "small")
    with pytest.raises(EtlchError, match=problem):
        publish.card_text(project, "small", cards, publish.build(project, cards))


def test_an_unknown_family_names_the_known_ones(project, capsys):
    assert main(["push-data", "x/y", "--family", "big"]) == 2
    assert "--family: found 'big' (expected one of small)" in capsys.readouterr().err


def test_without_login_or_a_proper_name_nothing_is_tried(project, monkeypatch, capsys):
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    assert main(["push-data", "x/y", "--family", "small"]) == 2
    assert (
        "not logged in to the Hub (expected `hf auth login` or HF_TOKEN; --to-folder works" in capsys.readouterr().err
    )
    assert main(["push-data", "no name", "--family", "small"]) == 2
    assert "found 'no name' (expected owner/name on the Hub; --to-folder" in capsys.readouterr().err


class Refusing(http.server.BaseHTTPRequestHandler):
    """A Hub that knows no token."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length") or 0))
        self.send_response(401)
        self.send_header("X-Error-Message", "Invalid username or password.")
        self.send_header("content-length", "0")
        self.end_headers()

    do_GET = do_HEAD = do_POST  # noqa: N815

    def log_message(self, *arguments) -> None:
        """Quiet."""


@pytest.fixture
def hub(monkeypatch):
    """Point the client at a server of our own; returns a function that sets its address."""
    import huggingface_hub

    monkeypatch.setattr("huggingface_hub.get_token", lambda: "hf_test")

    def point(address: str) -> None:
        original = huggingface_hub.HfApi
        monkeypatch.setattr(huggingface_hub, "HfApi", lambda: original(endpoint=address, token="hf_test"))
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)

    return point


def test_a_refusal_of_the_hub_is_passed_on(project, hub, capsys):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    hub(f"http://127.0.0.1:{server.server_port}")
    try:
        assert main(["push-data", "x/y", "--family", "small"]) == 2
    finally:
        server.shutdown()
        server.server_close()
    assert "x/y: the Hub refused (401: " in capsys.readouterr().err


def test_a_hub_out_of_reach_is_said(project, hub, capsys):
    hub("http://127.0.0.1:9")
    assert main(["push-data", "x/y", "--family", "small"]) == 2
    assert "x/y: the Hub cannot be reached (" in capsys.readouterr().err


def test_everything_goes_up_in_one_commit(project, monkeypatch, capsys):
    calls = []

    class Api:
        def create_repo(self, repository, **options):
            calls.append(("create", repository, options))
            return f"https://huggingface.co/datasets/{repository}"

        def upload_folder(self, folder_path, **options):
            files = sorted(path.relative_to(folder_path).as_posix() for path in folder_path.rglob("*.*"))
            calls.append(("upload", options["repo_id"], files))

    monkeypatch.setattr("huggingface_hub.HfApi", Api)
    monkeypatch.setattr("huggingface_hub.get_token", lambda: "hf_test")
    assert main(["push-data", "x/y", "--family", "small", "--private"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "https://huggingface.co/datasets/x/y"
    assert calls[0] == ("create", "x/y", {"repo_type": "dataset", "private": True, "exist_ok": True})
    parquet = [f"{config}/{split}.parquet" for config in ("kge", "ner", "records") for split in ("test", "train")]
    assert calls[1:] == [("upload", "x/y", ["README.md", *parquet])]
