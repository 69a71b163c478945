"""Floors: a trained CRF finds names by their context, every floor reads the first N records only, nothing is made twice."""

from __future__ import annotations

import json
import random
import re
from itertools import zip_longest
from pathlib import Path

import pytest

from etlch.formats import FORMATS, Schema
from etlch.infer.crf import Tagger
from etlch.infer.floors import Crf, Dictionary, Skeleton, write_floors
from etlch.records import Entity, Record, Triple, write_records
from etlch.runs import Run
from etlch.tasks import load_card

# any name may be a person's or a place's, so context alone decides; those of seed 2 are of other signs than those of seed 1
CLAUSES = {
    "zh-TW": (
        *("昨天<person>先生抵達<place>市，", "他在<place>認識了<person>小姐，", "<place>縣長<person>說，"),
        *("天氣很好。", "<person>是作家，住在<place>。", "從<place>來的<person>老師唱歌。"),
    ),
    "en": (
        *("yesterday Mr <person> arrived in <place>, ", "near <place> he met Mrs <person>, ", "the sun shone. "),
        *("the mayor of <place>, <person>, said so, ", "<person> lives in <place> and writes, "),
    ),
}
SIGNS = {
    "zh-TW": {1: "山川林石田", 2: "金雲月星梅", 3: "高江"},
    "en": {1: ("ba", "ko", "ri", "ten"), 2: ("lu", "mas", "vo", "shi")},
}


def made(lang: str, count: int, seed: int) -> list[Record]:
    """Records of three clauses, with names that are drawn anew each time."""
    draw = random.Random(f"{lang}/{seed}")
    records = []
    for number in range(count):
        text, entities = "", []
        for clause in draw.choices(CLAUSES[lang], k=3):
            for part, kind in zip_longest(*[iter(re.split("<(.+?)>", clause))] * 2):
                text += part
                if kind:
                    name = "".join(draw.choices(SIGNS[lang][seed], k=draw.randint(2, 3))).title()
                    entities.append(Entity(name, kind, ((len(text), len(text) + len(name)),)))
                    text += name
        records.append(Record(f"{lang}-{seed}-{number}", text, lang, entities=tuple(entities)))
    return records


def f1(floor: Dictionary, records: list[Record]) -> float:
    found = [(set(floor.mentions(record.text)), set(record.entities)) for record in records]
    return 2 * sum(len(a & b) for a, b in found) / sum(len(a) + len(b) for a, b in found)


@pytest.mark.parametrize("lang", CLAUSES)
def test_a_crf_finds_names_that_it_never_saw_by_their_context(lang: str) -> None:
    train, test = made(lang, 60, 1), made(lang, 40, 2)
    assert f1(Dictionary(train), test) == 0
    assert f1(Crf(train), test) > 0.8


def test_more_records_make_a_better_crf_and_the_same_ones_the_same() -> None:
    train, test = made("zh-TW", 60, 1), made("zh-TW", 40, 2)
    assert f1(Crf(train[:2]), test) < f1(Crf(train), test)
    first, second = (list(Tagger(train).mentions("".join(r.text for r in test))) for _ in range(2))
    assert first == second and first


@pytest.mark.parametrize(
    "records",
    [
        [],
        [Record("a", " \n")],
        [Record("a", "無名。")],
        [Record("a", "x\udc80\0y", entities=(Entity("x", "", ((0, 1),)),))],
        [Record("a", "a b c", entities=(Entity("a c", "t", ((0, 1), (4, 5))),))],
    ],
    ids=["none", "blank", "no entities", "a lone surrogate, no type", "discontinuous"],
)
def test_a_crf_of_nearly_nothing_still_answers(records: list[Record]) -> None:
    tagger = Tagger(records)
    for text in ("", "。。\n", "有名\udc80。", *(record.text for record in records)):
        assert all(text[slice(*entity.spans[0])] == entity.text for entity in tagger.mentions(text))


def test_the_outermost_mention_is_learned_and_one_within_a_word_has_the_word() -> None:
    sentence = "清法戰爭時pre2024x。"
    entities = (("法", "place", (1, 2)), ("清法戰爭", "event", (0, 4)), ("2024", "time", (8, 12)))
    record = Record("a", sentence, entities=tuple(Entity(text, kind, (span,)) for text, kind, span in entities))
    found = Tagger([record]).mentions(sentence)
    assert [(e.text, e.type) for e in found] == [("清法戰爭", "event"), ("2024", "time")]
    [word] = Tagger([Record("a", "in Covid now", entities=(Entity("vid", "x", ((5, 8),)),))]).mentions("in Covid now")
    assert word.text == "Covid"


def test_keys_that_are_types_have_the_crfs_names_and_other_keys_the_dictionarys() -> None:
    train = [
        Record(
            r.id,
            r.text,
            "zh-TW",
            "",
            "",
            r.entities,
            (Triple("甲", "認識了", "乙"),),
            {"weather": ["很好"], "person": []},
        )
        for r in made("zh-TW", 60, 1)
    ]
    text = "他在金星認識了月雲小姐，天氣很好。"
    answer = Crf(train).answer(FORMATS["json_fields"], Schema(("person", "weather", "other")), Record("x", text))
    assert json.loads(answer) == {"person": ["月雲"], "weather": ["很好"], "other": []}
    assert list(Crf(train)._triples(text)) == [Triple("金星", "認識了", "月雲")]


CARD = """\
name: ner
family: made
title: names
language: zh-TW
format: json_entities
instruction: names
metrics: [entity_f1]
wins: [entity_f1]
train: train.jsonl
test: train.jsonl
scales: [2, 4]
"""


def test_floors_of_a_scale_have_read_as_many_records_and_are_made_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from etlch.examples import deal

    train = made("zh-TW", 6, 1)
    write_records(tmp_path / "train.jsonl", train)
    (tmp_path / "ner.yaml").write_text(CARD)
    card = load_card(tmp_path / "ner.yaml")
    rows = [(deal.one(card, record), record) for record in made("zh-TW", 3, 2)]

    def write(scales: set[int]) -> dict[str, tuple[int, int, list[str]]]:
        runs = write_floors([(card, Run(tmp_path / "x", "x", "ner"), rows)], scales, tmp_path / "floors", tmp_path)
        answers = [[json.loads(line)["predict"] for line in run.file.read_text().splitlines()] for run in runs]
        return {r.system: (r.scale, r.info["train"]["records"], told) for r, told in zip(runs, answers, strict=True)}

    def of(floor: type, count: int) -> list[str]:
        return [floor(train[:count]).answer(row.form, row.asks, record) for row, record in rows]

    assert write({0, 2, 4, 7}) == {
        "skeleton": (0, 4, of(Skeleton, 4)),
        "dictionary": (0, 4, of(Dictionary, 4)),
        "dictionary_2": (2, 2, of(Dictionary, 2)),
        "crf_2": (2, 2, of(Crf, 2)),
        "dictionary_4": (4, 4, of(Dictionary, 4)),
        "crf_4": (4, 4, of(Crf, 4)),
    }
    assert write({0}) == {"skeleton": (0, 6, of(Skeleton, 6)), "dictionary": (0, 6, of(Dictionary, 6))}
    made_again: list[int] = []
    trained = Tagger.__init__
    monkeypatch.setattr(Tagger, "__init__", lambda self, r: (made_again.append(len(r)), trained(self, r))[1])
    first = write({2, 4})
    assert made_again == []
    write_records(tmp_path / "train.jsonl", [*train[:3], *made("zh-TW", 6, 3)[3:]])
    second = write({2, 4})
    assert made_again == [4]
    assert second["crf_2"] == first["crf_2"]
    assert second["crf_4"] != first["crf_4"]
