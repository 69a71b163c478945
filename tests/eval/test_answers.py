"""Joining answers with gold: what fits is joined by order and prompt, what does not is refused, naming file and row."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from experiment_files import Made

from etlch.errors import EtlchError, ManyErrors
from etlch.records import dump_json
from etlch.runs import find_runs, read_run
from eval.answers import Answer, check_answers, load_gold, read_answers


def read(made: Made, file: Path) -> list[Answer]:
    run = read_run(file)
    return list(read_answers(run, load_gold(made.tasks)[run.task]))


def refused(made: Made, file: Path) -> str:
    with pytest.raises(EtlchError) as error:
        read(made, file)
    return str(error.value)


@pytest.mark.parametrize("task", ["json", "kge", "ner"])
def test_answers_are_joined_with_their_records_in_order(made: Made, task: str) -> None:
    texts = [f"answer {n}" for n in range(5)]
    answers = read(made, made.run("a", task, texts))
    assert [(answer.record.id, answer.text) for answer in answers] == [(f"r-{n}", f"answer {n}") for n in range(5)]


def test_white_space_and_the_chat_templates_words_do_not_matter(made: Made) -> None:
    rows = made.rows("ner")
    for row in rows:
        row["prompt"] = "\n ".join(row["prompt"])
    assert len(read(made, made.run("a", "ner", lines=[dump_json(row) for row in rows]))) == 5


def test_a_tokenizer_that_decodes_to_nfkc_is_accepted(made: Made) -> None:
    rows = made.rows("ner")
    for row in rows:
        row["prompt"] = row["prompt"].replace("。", "｡")  # the half-width form, which NFKC makes equal
    assert len(read(made, made.run("a", "ner", lines=[dump_json(row) for row in rows]))) == 5


def test_run_json_says_who_answered(made: Made) -> None:
    file = made.run("etlch-300", "ner", base_model="meta-llama/Llama-3.2-1B-Instruct", scale=300, adapter="runs/x")
    run = read_run(file)
    assert (run.system, run.task, run.base_model, run.scale, run.adapter, run.samples) == (
        *("etlch-300", "ner", "meta-llama/Llama-3.2-1B-Instruct", 300, "runs/x", None),
    )


def test_without_run_json_the_folders_say_it(made: Made) -> None:
    file = made.run("x", "kge", folder="somebody's model")
    (file.parent / "run.json").unlink()
    run = read_run(file)
    assert (run.system, run.task, run.scale, run.samples) == ("somebody's model", "kge", 0, None)


def test_only_the_first_samples_were_asked(made: Made) -> None:
    lines = [dump_json(row) for row in made.rows("ner")]
    assert len(read(made, made.run("a", "ner", lines=lines[:3], samples=3))) == 3
    assert "row 4 is one too many (expected 3 rows: samples is 3" in refused(made, made.run("a", "ner", samples=3))
    assert "2 rows (expected 3" in refused(made, made.run("a", "ner", lines=lines[:2], samples=3))
    assert "samples: found 9 (expected at most 5" in refused(made, made.run("a", "ner", samples=9))


def test_a_line_cut_in_the_middle(made: Made) -> None:
    file = made.run("a", "ner")
    file.write_bytes(file.read_bytes()[:-40])
    message = refused(made, file)
    assert f"{file}:5: not JSON" in message
    assert "cut" in message


def test_a_cut_line_in_the_middle_of_the_file(made: Made) -> None:
    lines = [dump_json(row) for row in made.rows("ner")]
    lines[1] = lines[1][:30]
    file = made.run("a", "ner", lines=lines)
    assert f"{file}:2: not JSON" in refused(made, file)


@pytest.mark.parametrize("content", ["", "\n\n"])
def test_an_empty_file(made: Made, content: str) -> None:
    file = made.run("a", "ner")
    file.write_text(content)
    assert f"{file}: no rows (expected 5" in refused(made, file)


def test_too_few_rows(made: Made) -> None:
    lines = [dump_json(row) for row in made.rows("ner")]
    message = refused(made, made.run("a", "ner", lines=lines[:3]))
    assert "3 rows (expected 5" in message
    assert '"samples": 3' in message


def test_too_many_rows(made: Made) -> None:
    lines = [dump_json(row) for row in made.rows("ner")]
    file = made.run("a", "ner", lines=[*lines, lines[0]])
    assert f"{file}:6: row 6 is one too many (expected 5 rows" in refused(made, file)


def test_reordered_rows_name_the_row_and_whose_prompt_it_is(made: Made) -> None:
    lines = [dump_json(row) for row in made.rows("ner")]
    lines[1], lines[3] = lines[3], lines[1]
    file = made.run("a", "ner", lines=lines)
    message = refused(made, file)
    assert message.startswith(f"{file}:2: prompt: not that of record 'r-1'")
    assert "it is that of 'r-3'" in message


def test_a_row_missing_in_the_middle_is_seen_at_that_row(made: Made) -> None:
    lines = [dump_json(row) for row in made.rows("ner")]
    del lines[2]
    file = made.run("a", "ner", lines=lines)
    assert f"{file}:3: prompt: not that of record 'r-2'" in refused(made, file)


def test_another_tasks_answers_are_refused(made: Made) -> None:
    lines = [dump_json(row) for row in made.rows("kge")]
    assert ":1: prompt: not that of record 'r-0'" in refused(made, made.run("a", "ner", lines=lines))


def test_a_cut_prompt_says_so(made: Made) -> None:
    rows = made.rows("ner")
    rows[4]["prompt"] = rows[4]["prompt"][:-20]
    message = refused(made, made.run("a", "ner", lines=[dump_json(row) for row in rows]))
    assert ":5: prompt: not that of record 'r-4'" in message
    assert "was it cut" in message


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"predict": None}, "predict: found NoneType (expected a string)"),
        ({"prompt": 3}, "prompt: found int (expected a string)"),
        ({"predict": ...}, "predict: missing (expected a string)"),
        ({"label": ...}, "label: missing (expected a string)"),
    ],
)
def test_a_key_missing_or_of_another_type(made: Made, change: dict, said: str) -> None:
    rows: list[dict] = made.rows("ner")
    rows[2] |= change
    rows[2] = {key: value for key, value in rows[2].items() if value is not ...}
    file = made.run("a", "ner", lines=[json.dumps(row) for row in rows])
    assert refused(made, file) == f"{file}:3: {said}"


def test_a_row_that_is_no_object(made: Made) -> None:
    file = made.run("a", "ner", lines=["[1, 2]"])
    assert f"{file}:1: found list (expected an object with prompt, predict, label)" in refused(made, file)


@pytest.mark.parametrize(
    "text",
    ["字" * 1_000_000, "\0" * 1000, "甲\ud800乙", "[" * 100_000, '{"a":' * 100_000, "\u2028\x85\x1c一行", ""],
    ids=["1 MB", "null bytes", "lone surrogate", "brackets", "braces", "line separators", "empty"],
)
def test_any_string_is_an_answer(made: Made, text: str) -> None:
    answers = read(made, made.run("a", "ner", [text] * 5))
    assert [answer.text for answer in answers] == [text] * 5


def test_a_line_nested_too_deeply_is_not_json_to_python(made: Made) -> None:
    file = made.run("a", "ner", lines=["[" * 100_000])
    assert f"{file}:1: not JSON" in refused(made, file)


def test_runs_are_found_sorted_and_folders_without_answers_are_told(made: Made) -> None:
    for system in ("b", "a"):
        for task in ("ner", "json"):
            made.run(system, task)
    (made.run("c", "kge")).unlink()
    runs, notices = find_runs(made.runs)
    assert [(run.system, run.task) for run in runs] == [("a", "json"), ("a", "ner"), ("b", "json"), ("b", "ner")]
    assert notices == [f"{made.runs / 'c' / 'kge'}: run.json but no generated_predictions.jsonl; not scored"]


def test_the_raw_output_of_several_test_sets_is_no_run(made: Made) -> None:
    """`etlch predict` leaves it beside the run folders that it was cut into."""
    file = made.run("a", "ner")
    raw = file.parent.parent / "predict"
    raw.mkdir()
    (raw / file.name).write_bytes(file.read_bytes() * 3)
    runs, _ = find_runs(made.runs)
    assert [run.task for run in runs] == ["ner"]


def test_the_folder_above_the_experiment_is_refused_with_a_hint(made: Made) -> None:
    made.run("a", "ner")
    with pytest.raises(EtlchError, match=f"no answers .*one of these\\? {made.runs}"):
        find_runs(made.runs.parent)
    with pytest.raises(EtlchError, match="no such folder"):
        find_runs(made.runs / "nowhere")


def test_one_system_name_in_two_folders_is_refused(made: Made) -> None:
    made.run("same", "ner", folder="one")
    made.run("same", "json", folder="two")
    with pytest.raises(ManyErrors, match=r"two/json: system 'same' again .*one/ner"):
        find_runs(made.runs)


def test_one_system_with_two_scales_is_refused(made: Made) -> None:
    made.run("a", "json", scale=100)
    made.run("a", "ner", scale=300)
    with pytest.raises(ManyErrors, match=r"a/ner/run.json: scale: found 300 .expected 100"):
        find_runs(made.runs)


def test_one_task_twice_is_refused(made: Made) -> None:
    made.run("a", "json")
    file = made.run("a", "ner")
    (file.parent / "run.json").write_text('{"system": "a", "task": "json", "base_model": "gemma"}')
    with pytest.raises(ManyErrors, match="task 'json' of 'a' again"):
        find_runs(made.runs)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "cannot be read"),
        ("[]", "found list .expected a JSON object"),
        ('{"scale": "300"}', "scale: found '300' .expected a whole number"),
        ('{"scale": true}', "scale: found True"),
        ('{"samples": 0}', "samples: found 0 .expected a whole number above 0"),
        ('{"system": ""}', "system: found '' .expected a name"),
        ("\xff", "cannot be read"),
    ],
)
def test_a_bad_run_json(made: Made, text: str, said: str) -> None:
    file = made.run("a", "ner")
    (file.parent / "run.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(EtlchError, match=f"run.json: .*{said}|run.json: {said}"):
        read_run(file)


def test_every_bad_run_is_told_at_once(made: Made) -> None:
    made.run("a", "ner", lines=["{"])
    made.run("b", "ner", lines=[])
    made.run("c", "ner")
    made.run("d", "poem", lines=["{}"])
    runs, _ = find_runs(made.runs)
    with pytest.raises(ManyErrors) as error:
        check_answers(runs, load_gold(made.tasks))
    assert len(error.value.problems) == 3
    assert "no card for task 'poem' (expected json, kge, ner)" in error.value.problems[2]


def test_large_test_sets_are_streamed_with_the_same_result(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    file = made.run("a", "ner")
    kept = read(made, file)
    monkeypatch.setattr("eval.answers._KEPT_BYTES", 0)
    assert read(made, file) == kept


def test_a_broken_test_set_is_told_once_and_no_run_is_blamed(made: Made) -> None:
    for system in ("a", "b", "c"):
        made.run(system, "ner")
    with (made.root / "test.jsonl").open("a", encoding="utf-8") as handle:
        handle.write("{\n")
    runs, _ = find_runs(made.runs)
    with pytest.raises(ManyErrors) as error:
        check_answers(runs, load_gold(made.tasks))
    assert [problem.split(":")[0] for problem in error.value.problems] == [str(made.root / "test.jsonl")]


def test_answers_to_a_streamed_test_set_are_counted(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eval.answers._KEPT_BYTES", 0)
    for system in ("a", "b", "c"):
        made.run(system, "ner")
        made.run(system, "kge")
    runs, _ = find_runs(made.runs)
    gold = load_gold(made.tasks)
    assert check_answers(runs, gold) == [sum(1 for _ in read_answers(run, gold[run.task])) for run in runs]


def test_a_missing_test_set_is_named(made: Made) -> None:
    file = made.run("a", "ner")
    (made.root / "test.jsonl").unlink()
    assert f"{made.root / 'test.jsonl'}: cannot be read" in refused(made, file)


def test_a_prompt_has_every_turn_of_its_row(made: Made) -> None:
    """Rows with a history: a run whose prompts lack it is refused with its row, another order of turns too."""
    card, turns = made.card("ner"), [["Q one", "A one"], ["Q two", "A two"]]
    rows = [
        {"id": r.id, "instruction": card.question(r), "input": r.text, "output": "", "history": turns}
        | {"record": r.id, "corpus": "made", "card": "ner", "format": "json_entities", "schema": "[]"}
        for r in made.records
    ]
    data = made.root / "ner_test.json"
    data.write_text(json.dumps(rows), encoding="utf-8")
    file = made.run("a", "ner", data={"file": str(data)})
    answers = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]

    def write(before: str, first: int = 0) -> None:
        whole = [a | {"prompt": (before if n >= first else good) + a["prompt"]} for n, a in enumerate(answers)]
        file.write_text("".join(json.dumps(row) + "\n" for row in whole), encoding="utf-8")

    good = "<user>Q one<model>A one<user>Q two<model>A two<user>"
    write(good)
    assert [len(answer.rows[0].history) for answer in read(made, file)] == [2] * 5
    write("", first=3)
    with pytest.raises(EtlchError, match=r"jsonl:4: .*the 2 turns before the question are not there"):
        read(made, file)
    write("<user>Q two<model>A two<user>Q one<model>A one<user>")
    with pytest.raises(EtlchError, match="jsonl:1: prompt: not that of record"):
        read(made, file)
