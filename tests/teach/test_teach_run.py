"""`etlch teach` against a real HTTP server that answers well, badly, late or not at all."""

from __future__ import annotations

import json
import random
import socket
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from scripted import FACT, HEADER, Call, Drop, Fail, Page, Say, Server, Stall, facts, good

from etlch.cli import main
from etlch.examples.dataset import task_files
from etlch.records import read_records
from etlch.tasks import load_card

Teach = Callable[..., tuple[int, str, str]]
TOPICS = ("黑洞", "茶", "木星")


@pytest.fixture
def teach(tmp_path: Path, root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Teach:
    """Run the command on three topics; returns exit status, what it printed, and its last line on stderr."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    (tmp_path / "topics.txt").write_text("\n".join(TOPICS))

    def run(server: Server | str, *options: str, models: tuple[str, ...] = ("m",)) -> tuple[int, str, str]:
        url = server if isinstance(server, str) else server.url
        fixed = ["teach", "--base-url", url, "--out", str(tmp_path / "out"), "--topics", str(tmp_path / "topics.txt")]
        fixed += ["--tasks", str(root / "tasks"), "--length", "300", "--backoff", "0.01", "--max-tokens", "600"]
        status = main([*fixed, *(part for model in models for part in ("--model", model)), *options])
        printed = capsys.readouterr()
        return status, printed.out, printed.err.strip().split("\n")[-1]

    return run


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def value(table: str, name: str) -> str:
    """The value of a row of a printed table."""
    return next(line[len(name) :].strip() for line in table.splitlines() if line.startswith(name + "  "))


# --- answers


def test_good_answers_become_records_whose_every_part_stands_in_the_article(teach: Teach, tmp_path: Path):
    with Server() as server:
        status, out, _ = teach(server)
    assert status == 0 and value(out, "records") == "3"
    assert Counter(server.stages()) == dict.fromkeys(("article", "instruction", "gold", "kge", "ner"), 3)
    assert {call.auth for call in server.calls} == {"Bearer sk-test"}
    records = list(read_records(tmp_path / "out" / "records.jsonl"))
    for topic, record in zip(TOPICS, records, strict=True):
        people, years, places = ([fact[i] for fact in FACT.findall(facts(topic, "1"))] for i in range(3))
        assert (record.id, record.source, record.lang) == (f"teach-{topic}-1", f"teach/m/{topic}", "zh-TW")
        assert record.text == facts(topic, "1")
        assert record.fields == {"學者": people, "年代": years, "學校": places}
        assert {(e.type, e.text) for e in record.entities} == {
            *(("人物", p) for p in people),
            *(("時間", y) for y in years),
            *(("組織", p) for p in places),
        }
        assert [(t.head, t.tail) for t in record.triples] == list(zip(people, places, strict=True))
        assert {(t.head_type, t.tail_type) for t in record.triples} == {("人物", "組織")}


def test_the_result_serves_as_the_training_data_of_a_task_card(teach: Teach, tmp_path: Path, root: Path):
    with Server() as server:
        teach(server)
    for name in ("json", "kge", "ner"):
        card = yaml.safe_load((root / "tasks" / f"{name}.yaml").read_text())
        card |= {"train": "out/records.jsonl", "test": "out/records.jsonl", "scales": [2, 3]}
        card.pop("validation", None)
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump(card, allow_unicode=True))
        files = task_files(load_card(path), tmp_path, {}, {})
        made = [json.loads(text) for text in files.values()]
        assert [len(examples) for examples in made] == [2, 3, 3]
        assert all(row["output"] and row["input"] for examples in made for row in examples)


def test_the_papers_instructions_come_from_the_task_cards(teach: Teach, root: Path):
    with Server() as server:
        teach(server)
    for stage in ("kge", "ner"):
        asked = load_card(root / "tasks" / f"{stage}.yaml").instructions[0]
        assert all(asked in call.prompt for call in server.calls if call.stage == stage)
    gold = [call for call in server.calls if call.stage == "gold"]
    assert all('鍵依序為 ["學者", "年代", "學校"]' in call.prompt for call in gold)


def test_garbage_is_asked_for_three_times_with_the_reason_then_set_aside_and_counted(teach: Teach, tmp_path: Path):
    def script(call: Call) -> Say:
        return Say("亂七八糟") if call.stage == "ner" and "黑洞" in call.prompt else good(call)

    with Server(script) as server:
        status, out, _ = teach(server)
    assert status == 0
    assert (value(out, "records"), value(out, "set aside"), value(out, "  ner: not the format")) == ("2", "1", "1")
    assert value(out, "asked again with the reason") == "2"
    asked = [call.body["messages"] for call in server.calls if call.stage == "ner" and "黑洞" in call.prompt]
    assert [len(messages) for messages in asked] == [1, 3, 5]
    assert [m["role"] for m in asked[2]] == ["user", "assistant", "user", "assistant", "user"]
    assert asked[1][1]["content"] == "亂七八糟" and "not JSON" in asked[1][2]["content"]
    (row,) = rows(tmp_path / "out" / "rejected.jsonl")
    assert (row["article"], row["stage"], row["kind"], row["answer"]) == (
        "teach-黑洞-1",
        "ner",
        "not the format",
        "亂七八糟",
    )
    assert "not JSON" in row["reason"]


def test_nothing_but_garbage_ends_with_status_1_and_the_reasons_counted(teach: Teach, tmp_path: Path):
    """As the embedded model answers over `llamafactory-cli api`."""
    kinds = {"黑洞": Say("亂七八糟"), "茶": Say("字" * 600, finish="length"), "木星": Say("")}
    with Server(lambda call: next(say for topic, say in kinds.items() if topic in call.prompt)) as server:
        status, out, err = teach(server)
    assert (status, value(out, "records"), value(out, "set aside")) == (1, "0", "3")
    for reason in ("length", "cut at the token limit", "empty answer"):
        assert value(out, f"  article: {reason}") == "1"
    assert (tmp_path / "out" / "records.jsonl").read_bytes() == b""
    assert len(rows(tmp_path / "out" / "rejected.jsonl")) == 3 and len(server.calls) == 9
    assert "error" not in err


def test_no_more_requests_at_once_than_allowed_whatever_the_number_of_teachers(teach: Teach, tmp_path: Path):
    for most in (2, 4):
        with Server(delay=0.05) as server:
            assert teach(server, "--concurrency", str(most), models=("a", "b", "c"))[0] == 0
        assert server.most == most
        (tmp_path / "out" / "journal.jsonl").unlink()


def test_progress_is_shown_as_articles_answers_and_money(teach: Teach):
    with Server() as server:
        _, out, err = teach(server, "--price-in", "1", "--price-out", "4")
    bar = err.split("\r")[-1]
    assert "3/3" in bar and "15 answers" in bar
    assert f"cost {value(out, 'cost, all runs')}" in bar


def test_an_answer_mended_at_the_second_request_is_taken(teach: Teach):
    def script(call: Call) -> Say:
        if call.attempt:
            return good(call)
        kinds = {
            "article": "短",
            "instruction": "{}",
            "gold": '{"學者": ["不在文中"]}',
            "kge": HEADER,
            "ner": '{"人物": {}}',
        }
        return Say(kinds[call.stage])

    with Server(script) as server:
        status, out, _ = teach(server)
    assert status == 0 and value(out, "records") == "3"
    assert value(out, "asked again with the reason") == "15" and len(server.calls) == 30


def test_nothing_but_garbage_ends_with_the_reasons_counted_and_status_1(teach: Teach, tmp_path: Path):
    with Server(lambda call: Say("")) as server:
        status, out, _ = teach(server)
    assert status == 1
    assert value(out, "  article: empty answer") == "3"
    assert len(server.calls) == 9
    assert (tmp_path / "out" / "records.jsonl").read_text() == ""


def test_a_cut_answer_and_one_without_usage_are_handled(teach: Teach):
    def script(call: Call) -> Say:
        say = good(call)
        return Say(say.text, "length" if call.stage == "kge" and not call.attempt else "stop", usage=False)

    with Server(script) as server:
        status, out, _ = teach(server)
    assert status == 0 and value(out, "asked again with the reason") == "3"
    assert int(value(out, "tokens out, all runs").replace(",", "")) > 1000


def test_near_duplicate_articles_are_dropped_before_anything_is_paid_for_them(teach: Teach, tmp_path: Path):
    def script(call: Call) -> Say:
        if call.stage == "article":
            text = facts("黑洞", "1")
            return Say(text + "。" if "木星" not in call.prompt else facts("木星", "1"))
        return good(call)

    with Server(script) as server:
        status, out, _ = teach(server)
    assert status == 0
    assert (value(out, "records"), value(out, "  article: near-duplicate")) == ("2", "1")
    assert Counter(server.stages()) == {"article": 3, "instruction": 2, "gold": 2, "kge": 2, "ner": 2}
    (row,) = rows(tmp_path / "out" / "rejected.jsonl")
    assert (row["article"], row["reason"]) == ("teach-茶-1", "of teach-黑洞-1")


def test_the_file_is_the_same_whatever_the_order_of_arrival(teach: Teach, tmp_path: Path):
    rng = random.Random(5)

    def script(call: Call) -> Say:
        server.wait(rng.random() / 50)
        return Say(facts("黑洞", "1")) if call.stage == "article" and "茶" in call.prompt else good(call)

    made = set()
    for concurrency in ("1", "3", "8"):
        with Server(script) as server:
            teach(server, "--concurrency", concurrency, "--articles", "2")
        made.add(tuple((tmp_path / "out" / name).read_bytes() for name in ("records.jsonl", "rejected.jsonl")))
        (tmp_path / "out" / "journal.jsonl").unlink()
    assert len(made) == 1


# --- several teachers


def test_three_teachers_vote_and_two_that_disagree_are_a_tie(teach: Teach, tmp_path: Path):
    def script(call: Call) -> Say:
        say, who = good(call), call.body["model"]
        if call.stage == "ner":
            answer = json.loads(say.text)
            answer["人物"] = answer["人物"] if who == "a" else answer["人物"][1:]
            answer |= {"學科": ["黑洞"]} if who != "c" and "黑洞" in call.prompt else {}
            return Say(json.dumps(answer, ensure_ascii=False))
        return say

    first = FACT.findall(facts("黑洞", "1"))[0][0]
    with Server(script) as server:
        status, out, _ = teach(server, models=("a", "b", "c"))
        record = next(read_records(tmp_path / "out" / "records.jsonl"))
        surfaces = {(e.type, e.text) for e in record.entities}
        assert status == 0
        assert ("人物", first) not in surfaces and ("學科", "黑洞") in surfaces  # one of three; two of three
        assert record.source == "teach/a/黑洞"
        assert value(out, "  ner: ties left out") == "0"
        writers = {call.body["model"] for call in server.calls if call.stage in ("article", "instruction")}
        assert writers == {"a"}

        asked = len(server.calls)
        status, out, _ = teach(server, models=("a", "c"))
        assert len(server.calls) == asked  # both had been journaled
        assert value(out, "  ner: ties left out") == "4"  # the first person of three articles, and the subject of one
        ties = rows(tmp_path / "out" / "ties.jsonl")
        assert {"article": "teach-黑洞-1", "stage": "ner", "item": ["學科", "黑洞"]} in ties
        record = next(read_records(tmp_path / "out" / "records.jsonl"))
        assert not {("人物", first), ("學科", "黑洞")} & {(e.type, e.text) for e in record.entities}


def test_a_rejected_teacher_does_not_vote_and_no_agreement_sets_aside(teach: Teach):
    def script(call: Call) -> Say:
        who = call.body["model"]
        if call.stage == "kge" and who == "b" and "黑洞" in call.prompt:
            return Say("亂")
        if call.stage == "kge" and who == "b" and "茶" in call.prompt:
            found = FACT.findall(call.prompt)[0]
            return Say(f"{HEADER}\n{found[2]}－聘任－{found[0]}")
        return good(call)

    with Server(script) as server:
        status, out, _ = teach(server, models=("a", "b"))
    assert status == 0
    assert (value(out, "records"), value(out, "set aside")) == ("2", "1")
    assert (value(out, "  kge: not the format"), value(out, "  kge: no majority")) == ("1", "1")


# --- trouble that passes


@pytest.mark.parametrize(
    "trouble",
    [
        Fail(429, headers={"Retry-After": "0"}),
        Fail(500),
        Fail(503),
        Drop(),
        Page("<html>busy</html>"),
        Page("{", "application/json"),
        Page('{"error": "busy"}', "application/json"),
    ],
    ids=lambda trouble: str(trouble)[:30],
)
def test_trouble_at_every_first_try_is_tried_again(teach: Teach, trouble: Any):
    with Server(lambda call: trouble if not call.repeat else good(call)) as server:
        status, out, _ = teach(server)
    assert status == 0
    assert (value(out, "records"), value(out, "tried again after a failure")) == ("3", "15")


def test_retry_after_is_honoured(teach: Teach):
    with Server(lambda call: good(call) if call.repeat else Fail(429, headers={"Retry-After": "0.6"})) as server:
        assert teach(server, "--concurrency", "3")[0] == 0
    first = {}
    for call in server.calls:
        if call.key in first:
            assert call.at - first[call.key] >= 0.6
        first[call.key] = call.at
    assert len(server.calls) == 30


def test_a_stalled_answer_is_given_up_in_time_and_counted_as_perhaps_paid(teach: Teach, tmp_path: Path):
    def script(call: Call) -> Any:
        return Stall(20) if call.stage == "gold" and "茶" in call.prompt and not call.repeat else good(call)

    with Server(script) as server:
        status, out, _ = teach(server, "--timeout", "0.5")
    assert status == 0 and value(out, "records") == "3"
    lost = [row for row in rows(tmp_path / "out" / "journal.jsonl") if "lost" in row]
    assert ("teach-茶-1", "gold", "no answer within 0.5 s") in {(r["article"], r["stage"], r["lost"]) for r in lost}
    assert all(row["completion_tokens"] == 600 and row["prompt_tokens"] > 600 for row in lost)  # the most it may be
    counted = sum(row["completion_tokens"] + row["prompt_tokens"] for row in lost)
    assert value(out, "  of these at most, for answers that never came") == f"{counted:,}"


def test_one_request_that_always_fails_costs_one_article_and_is_asked_again_later(teach: Teach):
    sick = True

    def script(call: Call) -> Any:
        return Fail(500, "boom") if sick and call.stage == "gold" and "茶" in call.prompt else good(call)

    with Server(script) as server:
        status, out, _ = teach(server, "--retries", "1")
        assert (status, value(out, "records"), value(out, "  gold: unanswered")) == (0, "2", "1")
        assert value(out, "unanswered, asked again by the next run") == "1"
        sick = False
        asked = len(server.calls)
        status, out, _ = teach(server)
    assert (status, value(out, "records")) == (0, "3")
    assert server.stages()[asked:] == ["gold", "kge", "ner"]


def test_failures_between_answers_are_no_dead_endpoint(teach: Teach):
    with Server(lambda call: Fail(500) if call.stage == "gold" else good(call)) as server:
        status, out, _ = teach(server, "--retries", "0", "--concurrency", "1", "--articles", "2")
    assert (status, value(out, "  gold: unanswered")) == (1, "6")


# --- trouble that does not


def test_no_endpoint_there_is_one_line_at_once(teach: Teach):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    status, out, err = teach(url, "--backoff", "30")
    assert status == 2 and err.startswith(f"error: no endpoint at {url} (") and "answers that arrived" not in err
    assert value(out, "not begun or not finished") == "3"


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        (Fail(401, "Incorrect API key"), "invalid key: $OPENAI_API_KEY is not accepted by http://"),
        (Fail(404, "The model `m` does not exist"), "unknown model 'm' at http://"),
        (Fail(404, "Not found"), "unknown model 'm', or no such path under http://"),
        (
            Fail(429, "You exceeded your quota", code="insufficient_quota"),
            "has no quota left (429: You exceeded your quota)",
        ),
        (Fail(429, "daily limit", {"Retry-After": "90000"}), "asks for a pause of 90,000 s (429: daily limit)"),
        (
            Fail(400, "Unsupported parameter: 'max_tokens'"),
            "refuses the request (400: Unsupported parameter: 'max_tokens')",
        ),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else str(value.status),
)
def test_what_no_further_request_can_mend_ends_the_run_in_one_line(teach: Teach, trouble: Fail, said: str):
    with Server(lambda call: trouble) as server:
        status, _, err = teach(server, "--concurrency", "2")
    assert status == 2 and said in err and err.startswith("error: ")
    assert len(server.calls) <= 2


def test_a_missing_or_impossible_key_is_named_by_its_variable(teach: Teach, monkeypatch: pytest.MonkeyPatch):
    with Server(lambda call: Fail(401)) as server:
        assert "$MY_KEY is not set" in teach(server, "--key-env", "MY_KEY")[2]
        monkeypatch.setenv("MY_KEY", "鑰匙")
        assert "$MY_KEY: found characters that no key has" in teach(server, "--key-env", "MY_KEY")[2]


def test_a_refused_request_later_on_costs_one_article(teach: Teach):
    def script(call: Call) -> Any:
        return Fail(400, "context too long") if call.stage == "ner" and "茶" in call.prompt else good(call)

    with Server(script) as server:
        status, out, _ = teach(server)
    assert (status, value(out, "records"), value(out, "  ner: unanswered")) == (0, "2", "1")


def test_an_endpoint_that_dies_ends_the_run_and_what_was_done_is_saved(teach: Teach, tmp_path: Path):
    alive = True

    def script(call: Call) -> Any:
        nonlocal alive
        alive = alive and not (call.stage == "gold" and "木星" in call.prompt)
        return good(call) if alive else Fail(502, "bad gateway")

    with Server(script) as server:
        status, out, err = teach(server, "--retries", "2", "--concurrency", "1", "--articles", "3")
        assert status == 2 and "3 requests failed one after the other, 3 tries each; the last: 502: bad gateway" in err
        assert "has all 12 answers that arrived, and 2 of 9 records; the same command goes on" in err
        assert value(out, "records") == "2" == str(len(rows(tmp_path / "out" / "records.jsonl")))
        server.script, asked = good, len(server.calls)
        status, out, _ = teach(server, "--articles", "3")
    assert (status, value(out, "records")) == (0, "9")
    assert len(server.calls) - asked == 45 - 12


def test_a_stop_leaves_the_records_of_an_earlier_run_in_place(teach: Teach, tmp_path: Path):
    with Server() as server:
        teach(server)
        before = (tmp_path / "out" / "records.jsonl").read_bytes()
        (tmp_path / "topics.txt").write_text("\n".join(("新題", *TOPICS)))
        server.script = lambda call: Fail(401)
        status, _, err = teach(server, "--concurrency", "1")
    assert status == 2 and "invalid key" in err
    assert (tmp_path / "out" / "records.jsonl").read_bytes() == before


def test_an_answer_under_way_is_awaited_and_kept_when_the_run_stops(teach: Teach, tmp_path: Path):
    def script(call: Call) -> Any:
        if call.stage == "gold" and call.body["model"] == "b":
            return Fail(404, "no model b")
        server.wait(0.3 if call.stage == "gold" else 0)
        return good(call)

    with Server(script) as server:
        status, _, err = teach(server, models=("a", "b"))
    assert status == 2 and "unknown model 'b'" in err
    saved = {row["id"] for row in rows(tmp_path / "out" / "journal.jsonl")}
    assert saved == set(server.ids) and "gold" in {row["stage"] for row in rows(tmp_path / "out" / "journal.jsonl")}


# --- budget and dry run


@pytest.mark.parametrize("limit", [4000, 9000, 20000])
def test_the_token_budget_is_never_exceeded_over_all_runs_together(teach: Teach, tmp_path: Path, limit: int):
    with Server() as server:
        for _ in range(3):
            status, out, err = teach(server, "--budget-tokens", str(limit), "--articles", "3")
            assert status == 2 and "budget reached" in err and "raise --budget-tokens" in err
            spent = sum(int(value(out, f"tokens {way}, all runs").replace(",", "")) for way in ("in", "out"))
            assert spent <= limit
        paid = len(server.calls)
        assert 0 < paid < 45
        status, out, _ = teach(server, "--articles", "3")
    assert (status, value(out, "records"), len(server.calls)) == (0, "9", 45)


def test_the_money_budget_is_never_exceeded_and_says_how_to_go_on(teach: Teach):
    prices = ("--price-in", "1", "--price-out", "4")
    with Server() as server:
        status, out, err = teach(server, *prices, "--budget-cost", "0.01")
        assert status == 2 and "of 0.0100 spent" in err and "(raise --budget-cost)" in err
        assert 0 < float(value(out, "cost, all runs")) <= 0.01
        assert teach(server, *prices, "--budget-cost", "1")[0] == 0
    assert len(server.calls) == 15


def test_a_dry_run_asks_nothing_and_needs_no_endpoint(teach: Teach, tmp_path: Path):
    prices = ("--price-in", "0.15", "--price-out", "0.60")
    status, out, _ = teach("http://127.0.0.1:9/v1", "--dry-run", *prices, models=("a", "b"))
    assert status == 0
    assert value(out, "requests") == "24 (at most 72, each asked three times)"  # 3 x (2 + 2 x 3)
    assert value(out, "cost").startswith("about 0.0")
    assert not (tmp_path / "out").exists()
    assert value(teach("http://127.0.0.1:9/v1", "--dry-run")[1], "cost").startswith("unknown")


def test_a_dry_run_is_near_the_truth_and_tells_what_is_answered_already(teach: Teach):
    with Server() as server:
        _, out, _ = teach(server)
        status, guess, _ = teach(server, "--dry-run")
    assert status == 0 and value(guess, "answered in earlier runs") == "15"
    for way in ("in", "out"):
        paid = int(value(out, f"tokens {way}, all runs").replace(",", ""))
        guessed = int(value(guess, f"tokens {way}").split()[1].replace(",", ""))
        assert paid / 2 < guessed < paid * 2
    assert len(server.calls) == 15


def test_the_default_topics_are_the_training_topics_of_the_knowledge_base(
    teach: Teach, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder = tmp_path / "data" / "knowledge"
    folder.mkdir(parents=True)
    for name, split, lang in (("甲", "train", "zh-TW"), ("乙", "test", "zh-TW"), ("C", "train", "en")):
        row = {
            "topic": name,
            "theme": "生物",
            "split": split,
            "lang": lang,
            "sentences": [{"text": f"{name}是一種生物。"}],
        }
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(row, allow_unicode=True))
    monkeypatch.chdir(tmp_path)
    with Server() as server:
        options = ["--out", "out", "--tasks", str(Path(__file__).parents[2] / "tasks"), "--length", "300"]
        assert main(["teach", "--base-url", server.url, "--model", "m", *options]) == 0
    assert [record.source for record in read_records("out/records.jsonl")] == ["teach/m/甲"]
