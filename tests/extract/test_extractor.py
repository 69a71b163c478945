"""The Python API: long documents, order, language, keys; and one clear error for each thing that does not fit."""

import json
import re
import subprocess
import sys

import pytest
from scripted_engine import names_in

from etlch.errors import EtlchError
from etlch.extract import models
from etlch.extract.documents import Document


def test_a_long_document_is_cut_answered_and_put_together(scripted):
    text = "".join(f"第{n}天，甲{n}乙來了，見到甲{n + 1}乙。" + "\n" * (n % 3) for n in range(400))
    extractor = scripted(names_in, chunk_tokens=300, overlap_tokens=60)
    found = extractor.extract(text)
    assert len(extractor.engine.asked) > 20
    assert {value.text for value in found.values} == {f"甲{n}乙" for n in range(401)}
    assert all(value.span and text[slice(*value.span)] == value.text for value in found.values)
    assert len({value.span for value in found.values}) == len(found.values), "an overlap counts once"
    assert found.status == "ok" and found.tokens == 7 * len(extractor.engine.asked)
    assert found.record.entities[0].spans == (found.values[0].span,)


def test_documents_come_in_order_and_as_they_are_answered(scripted, monkeypatch):
    monkeypatch.setattr("etlch.extract.extractor.WINDOW", 4)
    extractor = scripted(names_in, chunk_tokens=40, overlap_tokens=0)
    asked = []

    def documents():
        for number in range(30):
            asked.append(number)
            long = "這裡沒有名字。" * 9 if number % 3 == 0 else ""
            yield Document(f"d{number}", f"甲{number}乙走了。{long}" if number % 5 else " ")

    found = extractor.extract_many(documents())
    first = next(found)
    assert (first.id, first.status, first.problems) == ("d0", "failed", ("an empty document",))
    rest = list(found)
    assert [f.id for f in rest] == [f"d{n}" for n in range(1, 30)]
    assert all([v.text for v in f.values] == [f"甲{f.id[1:]}乙"] for f in rest if f.status == "ok")
    assert extractor.engine.most_at_once == 4


def test_documents_are_not_read_ahead_of_what_is_answered(scripted, monkeypatch):
    monkeypatch.setattr("etlch.extract.extractor.WINDOW", 4)
    read = []
    found = scripted(names_in).extract_many(read.append(n) or f"甲{n}乙走了。" for n in range(1000))
    next(found)
    assert len(read) <= 5


def test_fields_are_those_asked_for(scripted):
    extractor = scripted(lambda _: '{"人物": ["甲1乙", "李白"], "時間": []}', "json", keys=["人物", "時間"])
    found = extractor.extract("甲1乙走了。")
    assert found.record.fields == {"人物": ["甲1乙", "李白"], "時間": []}
    assert [value.span for value in found.values] == [(0, 3), None]
    assert found.found_only().to_dict()["values"] == [{"label": "人物", "text": "甲1乙", "span": [0, 3]}]


def test_triples_have_ends_with_places(scripted):
    extractor = scripted(
        lambda _: "【一、三元組格式（主詞－關係－受詞）】\n甲1乙－認識－甲2乙\n甲1乙－認識－李白", "kge"
    )
    found = extractor.extract("甲1乙認識了甲2乙。")
    assert [(t.head.span, t.relation, t.tail.span) for t in found.triples] == [
        ((0, 3), "認識", (6, 9)),
        ((0, 3), "認識", None),
    ]


def test_an_answer_that_cannot_be_read_is_told(scripted):
    found = scripted(lambda _: "我不知道").extract("甲1乙走了。")
    assert (found.status, found.values, found.problems) == ("invalid", (), ("not JSON",))
    long = scripted(lambda a: names_in(a) if "甲" in a else "?", chunk_tokens=20, overlap_tokens=0)
    found = long.extract("甲1乙走了，很遠很遠。" + "乙丙丁走了，很遠很遠。" * 3)
    assert found.status == "repaired" and re.fullmatch(r"\d+-\d+: not JSON", found.problems[0])


def test_values_that_name_nothing_are_told_and_not_returned(scripted):
    found = scripted(lambda _: '{"人物": ["甲1乙", "，", "的", ""]}').extract("甲1乙的，走了。")
    assert [value.text for value in found.values] == ["甲1乙"]
    assert found.status == "repaired" and len(found.problems) == 2


def test_another_language_is_refused_unless_it_is_meant(scripted):
    english = "The blue whale is the largest animal known to have ever existed."
    with pytest.raises(EtlchError, match="another language: 0 of"):
        scripted(names_in).extract(english)
    assert scripted(names_in, lang="en").extract(english).lang == "en"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"task": "nerd"}, r"task 'nerd': no such card in tasks/ .expected one of: .*json, .*kge, .*mentions, ner"),
        ({"task": "tasks/nerd.yaml"}, "tasks/nerd.yaml: cannot be read"),
        ({"task": "json"}, "keys: found none .expected the fields wanted, each once, for task 'json'"),
        ({"task": "json", "keys": ["a", "a"]}, "keys: found a, a"),
        ({"keys": ["a"]}, "keys: found a .expected none: task 'ner' asks for no fields"),
        ({"model": "models/nono"}, "models/nono: no model there"),
        ({"adapter": "runs/nono"}, "runs/nono: no adapter there"),
        ({"system": "runs/nono"}, "runs/nono is not there"),
        ({"chunk_tokens": 10, "overlap_tokens": 10}, "chunks of 10 tokens, 10 of them overlap"),
    ],
    ids=str,
)
def test_what_does_not_fit_is_one_clear_error(scripted, options, message):
    with pytest.raises(EtlchError, match=message):
        scripted(names_in, **options)


def adapter_for(folder, base, **stamp):
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": base}))
    if stamp:
        (folder / ".done.json").write_text(json.dumps({"config": stamp}))
    return folder


def test_an_adapter_for_another_base_is_refused(root, tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(root)
    adapter = adapter_for(tmp_path / "a", "meta-llama/Llama-3.2-1B-Instruct")
    with pytest.raises(EtlchError, match=rf"an adapter for meta-llama/Llama-3.2-1B-Instruct .found the model {tiny}"):
        models.config_of(tiny, adapter)


def test_a_system_names_its_model_adapter_and_template(root, tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(root)
    adapter = adapter_for(tmp_path / "s" / "adapter", tiny, model_name_or_path=tiny, template="llama3")
    found = models.config_of(system=tmp_path / "s")
    assert (found["model_name_or_path"], found["adapter_name_or_path"]) == (tiny, str(adapter))
    assert "frequency_penalty" not in found
    (tmp_path / "s" / "ner").mkdir()
    (tmp_path / "s" / "ner" / "run.json").write_text(json.dumps({"decoding": {"frequency_penalty": 0.1}}))
    assert models.config_of(system=tmp_path / "s")["frequency_penalty"] == 0.1
    task = tmp_path / "t" / "ner"
    task.mkdir(parents=True)
    (task / "run.json").write_text(json.dumps({"base_model": tiny, "adapter": None}))
    found = models.config_of(system=tmp_path / "t", config="configs/predict_qwen2.5-7b.yaml")
    assert (found["model_name_or_path"], found["template"]) == (tiny, "qwen")
    assert models.config_of(system=tiny)["model_name_or_path"] == tiny
    assert models.of_system("owner/name") == {"model_name_or_path": "owner/name"}
    (tmp_path / "u").mkdir()
    with pytest.raises(EtlchError, match="holds neither adapter nor model"):
        models.config_of(system=tmp_path / "u")


def test_an_answer_longer_than_the_context_is_refused(scripted):
    extractor = scripted(names_in)
    extractor.loaded.config["max_new_tokens"] = 5000
    with pytest.raises(EtlchError, match=r"max_new_tokens: 5000 leaves -\d+ tokens for the text"):
        extractor.extract("甲1乙走了。")


def test_the_name_is_there_without_the_wait():
    code = (
        "import sys, etlch; assert 'torch' not in sys.modules; from etlch import Extractor; print(Extractor.__name__)"
    )
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert made.stdout == "Extractor\n"
    with pytest.raises(ImportError):
        from etlch import Extractors  # noqa: F401
