"""The endpoint engine against a scripted server: the same prompt as everywhere, paid for once, every failure one error."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from argparse import Namespace
from pathlib import Path

import pytest
from scripted import Call, Drop, Fail, Page, Say, Server, Stall

from etlch.errors import EtlchError, ManyErrors
from etlch.infer.loading import Prompt
from etlch.infer.remote import RemoteEngine, remote_engine, response_format
from etlch.infer.shapes import Shape

PROMPTS = [Prompt((n, n + 1, 7), f"<s>question {n}<e>", turns=(("user", f"question {n}"),)) for n in range(12)]


def say(call: Call) -> Say:
    return Say(f"answer to {call.prompt}")


def engine(url: str, tmp_path: Path, config: dict | None = None, **changed) -> RemoteEngine:
    options = {
        "base_url": url,
        "key_env": "NO_SUCH_KEY",
        "served_as": "gemma",
        "send": "tokens",
        "request": "{}",
        "concurrency": 4,
        "retries": 3,
        "backoff": 0.01,
        "timeout": 5.0,
        "budget_tokens": None,
        "budget_cost": None,
        "price_in": [],
        "price_out": [],
    }
    config = {"model_name_or_path": "m", "max_new_tokens": 9} | (config or {})
    return remote_engine(Namespace(**options | changed), config, tmp_path / "paid.jsonl")


def ask(made: RemoteEngine, prompts=PROMPTS) -> dict[int, str]:
    return {answer.row: answer.answer for answer in made.answers(list(enumerate(prompts)))}


@pytest.mark.parametrize(
    ("send", "sent"),
    [("tokens", [0, 1, 7]), ("text", "<s>question 0<e>"), ("chat", "question 0")],
)
def test_what_is_sent(tmp_path, send, sent):
    with Server(say) as server:
        answers = ask(engine(server.url, tmp_path, send=send))
    assert answers[0] == f"answer to {sent}" and len(answers) == 12
    body = next(call.body for call in server.calls if call.prompt == sent)
    assert (body["model"], body["temperature"], body["max_tokens"]) == ("gemma", 0, 9)
    assert "repetition_penalty" not in body
    assert server.most <= 4


def test_settings_of_the_config_and_the_command_line_are_sent(tmp_path):
    with Server(say) as server:
        made = engine(
            server.url,
            tmp_path,
            {"repetition_penalty": 1.1, "frequency_penalty": 0.1},
            request='{"seed": 3, "temperature": null}',
        )
        ask(made, PROMPTS[:1])
    body = server.calls[0].body
    assert (body["repetition_penalty"], body["frequency_penalty"], body["seed"]) == (
        1.1,
        0.1,
        3,
    ) and "temperature" not in body


def test_a_shape_is_sent_as_a_schema(tmp_path):
    with Server(say) as server:
        ask(engine(server.url, tmp_path), [Prompt((1,), "a", shape=Shape(("x", "y"), optional=False))])
    sent = server.calls[0].body["response_format"]["json_schema"]["schema"]
    assert sent["required"] == ["x", "y"] and sent["properties"]["x"]["items"] == {"type": "string"}
    assert sent["additionalProperties"] is False
    assert response_format(Shape())["json_schema"]["schema"]["additionalProperties"]["type"] == "array"


def test_passing_failures_are_tried_again(tmp_path):
    rng = random.Random(3)
    troubles = [Fail(429, "slow down"), Fail(503), Drop(), Page("<html>")]

    def moody(call: Call):
        return say(call) if call.repeat >= 2 or rng.random() < 0.4 else rng.choice(troubles)

    with Server(moody) as server:
        answers = ask(engine(server.url, tmp_path))
    assert answers == {row: f"answer to {list(prompt.ids)}" for row, prompt in enumerate(PROMPTS)}


@pytest.mark.parametrize(
    ("script", "changed", "expected"),
    [
        (lambda call: Fail(401, "bad"), {}, "invalid key: .NO_SUCH_KEY is not set"),
        (lambda call: Fail(404, "the model `gemma` does not exist"), {}, "unknown model 'gemma'"),
        (lambda call: Stall(9), {"timeout": 0.1, "retries": 0}, "no answer within 0.1 s"),
        (say, {"budget_tokens": 20}, "budget reached"),
        (lambda call: Fail(400, "too long"), {}, "too long"),
    ],
)
def test_what_cannot_be_mended_is_one_error(tmp_path, script, changed, expected):
    with Server(script) as server, pytest.raises(EtlchError, match=expected):
        ask(engine(server.url, tmp_path, **changed))


def test_no_endpoint_there(tmp_path):
    with pytest.raises(EtlchError, match=r"no endpoint at http://127\.0\.0\.1:1/v1"):
        ask(engine("http://127.0.0.1:1/v1", tmp_path))


def test_answers_that_were_paid_for_are_not_asked_again(tmp_path):
    with Server(say) as server:
        first = ask(engine(server.url, tmp_path))
        assert ask(engine(server.url, tmp_path)) == first
        assert len(server.calls) == 12


def test_bad_options_are_all_named(tmp_path):
    with pytest.raises(ManyErrors) as error:
        engine("nowhere", tmp_path, {"do_sample": True}, request="[]", price_in=[1.0], concurrency=0)
    assert len(error.value.problems) == 5


def test_ten_kills_change_nothing(tmp_path):
    """The whole way, with the answers' journal and the one of what was paid for: killed, started again, the same file."""
    rows = [{"instruction": q, "input": "", "output": "gold"} for q in (f"question {n}" for n in range(12))]
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    (tmp_path / "dataset_info.json").write_text(json.dumps({"x_a_test": {"file_name": "rows.json", "test": "a"}}))
    (tmp_path / "predict.yaml").write_text(
        "dataset_dir: .\neval_dataset: x_a_test\noutput_dir: runs/x/m/predict\nmodel_name_or_path: none\n"
    )
    (tmp_path / "run.py").write_text(
        "import sys\nfrom etlch.infer import engines, predict, loading\n"
        "from etlch.cli import _parser\n"
        "prompts = [loading.Prompt((n,), f'question {n}', 'gold') for n in range(12)]\n"
        "loading.Loaded.prompts = lambda self: prompts\n"
        "options = _parser().parse_args(['predict', 'predict.yaml', '--engine', 'endpoint', '--send', 'text',"
        " '--base-url', sys.argv[1], '--concurrency', '2', '--backoff', '0.01'])\n"
        "print(engines.answer(predict.read_job('predict.yaml', []), options))\n"
    )
    final = tmp_path / "runs/x/m/a/generated_predictions.jsonl"

    def start(server: Server) -> subprocess.Popen:
        command = [sys.executable, "run.py", server.url]
        quiet = subprocess.DEVNULL
        return subprocess.Popen(command, cwd=tmp_path, stdout=quiet, stderr=quiet, start_new_session=True)

    with Server(say) as server:
        assert start(server).wait() == 0
    undisturbed = final.read_bytes()
    for path in (tmp_path / "runs").rglob("*"):
        path.is_file() and path.unlink()
    rng = random.Random(11)
    with Server(say, delay=0.4) as server:
        for _ in range(10):
            process = start(server)
            seen = len(server.calls)
            deadline = time.monotonic() + 30
            while len(server.calls) <= seen and process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.01)
            time.sleep(rng.random() * 0.3)
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        assert start(server).wait() == 0
        kills = 10
        assert len(server.calls) <= 12 + 2 * kills  # what a kill cut off on its way is asked again, nothing else
    assert final.read_bytes() == undisturbed
