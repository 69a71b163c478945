"""`etlch predict --schema`: a system of its own, each prompt with the shape of its card and record."""

import json
from argparse import Namespace
from dataclasses import replace

import pytest

from etlch.errors import EtlchError
from etlch.infer import engines, predict
from etlch.infer.loading import Made, Prompt
from etlch.infer.shapes import Shape


class Echo:
    def answers(self, todo):
        for row, prompt in todo:
            yield Made(row, str(prompt.shape), 1, True)


@pytest.fixture
def job(root, tmp_path, monkeypatch):
    monkeypatch.chdir(root)
    output = f"output_dir={tmp_path}/gemma_300/predict"
    return predict.with_schema(predict.read_job("configs/gemma_predict.yaml", ["max_samples=3", output]))


def prompts_of(job):
    return [
        Prompt((1,), row["instruction"]) for name in job.names for row in json.loads(job.files[name].read_text())[:3]
    ]


def test_prompts_get_the_shapes_of_their_cards_and_records(job):
    shaped = engines.shaped(job, prompts_of(job))
    kinds = [prompt.shape for prompt in shaped]
    assert kinds[3:6] == [None] * 3, "triples are no JSON"
    assert kinds[6:] == [Shape((), optional=True)] * 3, "the NER card names no labels"
    for prompt in shaped[:3]:
        assert not prompt.shape.optional
        assert json.dumps(list(prompt.shape.keys), ensure_ascii=False) in prompt.text, (
            "the keys that the prompt asks for"
        )


def test_prompts_that_are_not_the_test_rows_are_refused(job):
    with pytest.raises(EtlchError, match=r"found 8 prompts .expected 9, the rows of the test sets"):
        engines.shaped(job, prompts_of(job)[1:])


def test_the_answers_land_in_a_system_of_their_own(job, tmp_path, monkeypatch):
    monkeypatch.setattr(engines, "_local", lambda job: (Echo(), prompts_of(job)))
    folders = engines.answer(job, Namespace(engine="transformers", force=False))
    assert folders == [tmp_path / "gemma_300+schema" / task for task in ("json", "kge", "ner")]
    run = json.loads((folders[2] / "run.json").read_text())
    assert (run["system"], run["schema"], bool(run["versions"]["llguidance"])) == ("gemma_300+schema", True, True)
    assert json.loads((folders[2] / "generated_predictions.jsonl").read_text().splitlines()[0])["predict"] == str(
        Shape()
    )


def test_a_frequency_penalty_stands_in_run_json(tmp_path, job, monkeypatch):
    asked = []
    monkeypatch.setattr(engines, "_local", lambda job: (asked.append(job.config), Echo(), prompts_of(job))[1:])
    folders = engines.answer(
        predict.with_frequency_penalty(replace(job, schema=False), 0.1), Namespace(engine="transformers", force=False)
    )
    assert asked[0]["frequency_penalty"] == 0.1
    assert json.loads((folders[0] / "run.json").read_text())["decoding"]["frequency_penalty"] == 0.1


@pytest.mark.parametrize("penalty", [0.0, -1.0, 2.5, float("nan")])
def test_a_frequency_penalty_out_of_range_is_refused(job, penalty):
    with pytest.raises(EtlchError, match=r"--frequency-penalty: found .* \(expected above 0 and at most 2"):
        predict.with_frequency_penalty(job, penalty)


def test_llamafactory_knows_no_frequency_penalty(job):
    asked = predict.with_frequency_penalty(replace(job, schema=False), 0.1)
    with pytest.raises(EtlchError, match=r"--frequency-penalty: LlamaFactory's predict knows none"):
        engines.answer(asked, Namespace(engine="llamafactory", force=False))


def test_llamafactory_knows_no_schema(job):
    with pytest.raises(EtlchError, match=r"--schema: LlamaFactory's predict knows no schema"):
        engines.answer(job, Namespace(engine="llamafactory", force=False))
