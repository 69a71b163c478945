"""`etlch serve` with a model: the same extraction as the Python API gives, and an end with status 0."""

import signal
import socket
import subprocess
import sys
import time

import httpx
import pytest

from etlch.serve import start

TEXT = "林靖雯於2019年進入臺灣大學醫學院任教。"
SERVE = (sys.executable, "-m", "etlch.cli", "serve")


@pytest.fixture
def config(tiny, tmp_path):
    """A predict config with short answers: the untuned model repeats itself until it is stopped."""
    path = tmp_path / "short.yaml"
    path.write_text(f"model_name_or_path: {tiny}\ntemplate: llama3\nmax_new_tokens: 40\n")
    return path


@pytest.fixture
def served(root, tiny, tmp_path, config):
    """The address of `etlch serve`, and its process."""
    options = ("--system", f"small={tiny}", "--task", "ner", "--port", "0", "--config", str(config), "--schema")
    with (tmp_path / "stderr").open("w") as errors:
        process = subprocess.Popen([*SERVE, *options], cwd=root, stdout=subprocess.PIPE, stderr=errors, text=True)
    yield process.stdout.readline().split("/  (")[0], process
    if process.poll() is None:
        process.kill()
    process.wait()
    process.stdout.close()


@pytest.mark.slow
def test_the_service_answers_as_the_python_api_does(served, config, root, monkeypatch):
    from etlch.extract.extractor import Extractor

    address, process = served
    monkeypatch.chdir(root)
    expected = Extractor("ner", config=config, schema=True).extract(TEXT)
    with httpx.Client(base_url=address, trust_env=False, timeout=120) as client:
        while client.get("/ready").status_code != 200:
            assert process.poll() is None
            time.sleep(0.1)
        made = client.post("/v1/extract", json={"text": TEXT, "task": "ner"}).json()
        foreign = client.post("/v1/extract", json={"text": "The quick brown fox jumps over it.", "task": "ner"})
    assert (made["status"], made["problems"]) == (expected.status, list(expected.problems))
    assert made["record"] == expected.record.to_json()
    assert [(v["label"], v["text"], v["span"]) for v in made["values"]] == [
        (v.label, v.text, list(v.span) if v.span else None) for v in expected.values
    ]
    assert (foreign.status_code, "another language" in foreign.json()["error"]) == (422, True)
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0


def test_a_port_that_is_taken_is_one_line_and_exit_2(served, root, tiny):
    address, _ = served
    command = [*SERVE, "--system", tiny, "--port", address.rsplit(":", 1)[1]]
    ended = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2
    assert ended.stderr.startswith("error: 127.0.0.1:") and "another port: --port" in ended.stderr
    assert ended.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--system", "runs/none/none_300"], "runs/none/none_300 is not there (expected a system such as"),
        (["--system", "tasks"], "tasks holds neither adapter nor model"),
        (["--system", "a=TINY", "--system", "a=TINY"], "the name 'a' again"),
        (["--system", "TINY", "--task", "none"], "task 'none': no such card in tasks/ (expected one of"),
        (["--system", "TINY", "--task", "tasks/none.yaml"], "tasks/none.yaml: cannot be read"),
        (["--system", "TINY", "--timeout", "0"], "--timeout: found 0 (expected more than 0)"),
        (["--system", "TINY", "--max-queue", "3"], "--max-queue: found 3 (expected at least --max-texts"),
        (["--system", "TINY", "--port", "99999"], "127.0.0.1:99999 cannot be listened on"),
        (["--system", "TINY", "--host", "host.invalid"], "host.invalid:8000 cannot be listened on"),
    ],
)
def test_a_mistake_is_said_before_a_model_is_loaded(arguments, said, root, tiny, monkeypatch, capsys):
    from etlch.cli import main

    monkeypatch.chdir(root)
    assert main(["serve", *(argument.replace("TINY", tiny) for argument in arguments)]) == 2
    assert said in capsys.readouterr().err


def test_the_body_of_an_answer_does_not_wait_for_a_delayed_acknowledgement():
    with start.take_port("127.0.0.1", 0) as taken, socket.create_connection(taken.getsockname()):
        accepted, _ = taken.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
