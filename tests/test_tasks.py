"""Task cards: the paper's prompts, clear refusals, and a new task without a line of code."""

import json
import shutil
from pathlib import Path

import pytest

from etlch.errors import EtlchError, ManyErrors
from etlch.examples import dataset
from etlch.records import Record, write_records
from etlch.tasks import load_card, load_cards

CARD = {
    "name": "colour",
    "family": "mine",
    "title": "Colours",
    "language": "en",
    "format": "json_fields",
    "instruction": "List {keys} as JSON.",
    "metrics": ["rougeL", "field_f1"],
    "wins": ["rougeL"],
    "train": "data/mine/train.jsonl",
    "test": "data/mine/test.jsonl",
    "scales": [2, 3],
}


def write_card(folder: Path, **changes) -> Path:
    row = {k: v for k, v in (CARD | changes).items() if v is not None}
    path = folder / f"{row['name'] if isinstance(row.get('name'), str) else 'x'}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(row), encoding="utf-8")
    return path


def test_the_prompts_are_the_papers(root):
    cards = {card.name: card for card in load_cards(root / "tasks")}
    squeezed = "".join(cards["kge"].instructions[0].split())
    assert squeezed == (
        "請幫我為下面文章建構知識圖譜。請以這種方式輸出：「【一、三元組格式（主詞－關係－受詞）】植物基飲食－可以降低－心臟病風險植物基飲食－可以降低－糖尿病風險"
        "植物基飲食－可以降低－癌症風險植物基飲食－有助於攝取－纖維素植物基飲食－有助於攝取－抗氧化物質健康生活－包含－飲食健康生活－包含－運動健康生活－包含－心理健康"
        "運動－能夠幫助－控制體重運動－能夠幫助－增加肌肉健康運動－能夠幫助－增加骨骼健康運動－能夠釋放－內啡肽運動－有助於改善－心理健康冥想－能夠幫助－減少壓力"
        "深呼吸－有助於－壓力減緩親近自然－能夠提升－生活品質」"
    )
    assert (
        cards["ner"].instructions[0]
        == "請為下文執行 NER 任務。請輸出成 JSON 且 value 必須為 list 格式，而其中不得再有巢狀結構。"
    )
    assert cards["json"].wins == ("rougeL", "cosine", "json_parse_ok")  # denominator 3, section 7
    assert cards["kge"].wins == cards["ner"].wins == ("rougeL", "cosine")  # denominator 2


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "field_f1"),
        ({"primary": "rougeL"}, "rougeL"),
        ({"format": "json_entities"}, "entity_surface_f1"),
        ({"format": "json_entities", "labels": ["person"]}, "entity_f1"),
        ({"format": "json_entities", "schema": "corpus"}, "entity_f1"),
        ({"format": "triple_lines"}, "pair_f1"),
        ({"format": "triple_lines", "labels": ["born in"]}, "triple_f1"),
    ],
)
def test_without_labels_in_the_prompt_none_are_asked_of_the_ranking(tmp_path, changes, expected):
    assert load_card(write_card(tmp_path, **changes)).primary == expected


def test_the_json_prompt_names_the_wanted_keys(root, record):
    card = load_card(root / "tasks" / "json.yaml")
    assert '["人物", "運輸"]' in card.question(record)
    assert card.answer(record) == '{"人物": ["杜聰明"], "運輸": []}'


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"format": "jsonn"}, "format: found 'jsonn' (expected one of json_fields"),
        ({"metrics": ["rougeL", "bleu"]}, "metrics: found 'bleu' (expected one of rouge1"),
        ({"wins": ["cosine"]}, "wins: 'cosine' is not among"),
        ({"primary": "cosine"}, "primary: 'cosine' is not among"),
        ({"primary": "f1"}, "primary: found 'f1' (expected one of rouge1"),
        ({"primary": ["rougeL"]}, "primary: found ['rougeL'] (expected a str)"),
        ({"scales": [300, 100]}, "scales: found [300, 100]"),
        ({"name": "a_b"}, "name: found 'a_b'"),
        ({"instruction": None}, "instruction: missing"),
        ({"promt": "x"}, "unknown key 'promt'"),
        ({"metrics": "rougeL"}, "metrics: found 'rougeL' (expected a list)"),
    ],
)
def test_a_bad_card_says_what_was_expected(tmp_path, changes, expected):
    path = write_card(tmp_path, **changes)
    with pytest.raises(ManyErrors) as error:
        load_card(path)
    assert str(path) in str(error.value)
    assert expected in str(error.value)


def test_all_problems_come_at_once(tmp_path):
    path = write_card(tmp_path, format="x", metrics=["y"])
    with pytest.raises(ManyErrors) as error:
        load_card(path)
    assert len(error.value.problems) >= 2


def test_broken_yaml_names_the_line(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("name: a\nformat: [\n")
    with pytest.raises(EtlchError, match=r"c\.yaml:\d+: not YAML"):
        load_card(path)


def test_a_mistake_is_named_with_its_line(tmp_path):
    path = write_card(tmp_path)
    rows = [f"{key}: {json.dumps(value)}" for key, value in CARD.items()]
    path.write_text("\n".join([*rows, "promt: x"]).replace("json_fields", "jsonn"), encoding="utf-8")
    with pytest.raises(ManyErrors, match=rf"c.*\.yaml:{len(CARD) + 1}: unknown key 'promt'"):
        load_card(path)
    path.write_text("\n".join(rows).replace("json_fields", "jsonn"), encoding="utf-8")
    with pytest.raises(ManyErrors, match=r"\.yaml:5: format: found 'jsonn'"):
        load_card(path)


def test_every_bad_card_of_a_folder_is_named_at_once(tmp_path):
    (tmp_path / "a.yaml").write_text("a: [", encoding="utf-8")
    (tmp_path / "b.yaml").write_bytes(b"\xff")
    write_card(tmp_path, format="x")
    with pytest.raises(ManyErrors) as error:
        load_cards(tmp_path)
    assert [Path(line.split(":")[0]).name for line in error.value.problems] == ["a.yaml", "b.yaml", "colour.yaml"]


def test_two_families_may_have_a_card_of_one_name(tmp_path):
    """The one whose file is named so keeps the bare name; data sets and files are told apart by the family anyhow."""
    mine = write_card(tmp_path)
    text = mine.read_text(encoding="utf-8")
    (tmp_path / "a.yaml").write_text(text.replace('"family": "mine"', '"family": "other"'), encoding="utf-8")
    cards = {card.name: card for card in load_cards(tmp_path)}
    assert set(cards) == {"colour", "other/colour"} and cards["colour"].family == "mine"
    assert cards["other/colour"].dataset(2) == "other_colour_2"
    (tmp_path / "b.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(
        ManyErrors, match=r"colour.yaml: name: 'colour' again .expected a name of its own in family 'mine'"
    ):
        load_cards(tmp_path)


def test_a_new_task_is_a_card_and_its_records(root, tmp_path):
    """One card more in a copy of the repository's data: files, registry entries and prompts, no code changed."""
    shutil.copytree(root / "tasks", tmp_path / "tasks")
    shutil.copytree(root / "data" / "knowledge", tmp_path / "data" / "knowledge")
    write_card(tmp_path / "tasks")
    rows = [Record(f"c{n}", f"The sky is blue {n}.", fields={"colour": ["blue"]}) for n in range(4)]
    write_records(tmp_path / "data/mine/train.jsonl", rows[:3])
    write_records(tmp_path / "data/mine/test.jsonl", rows[3:])
    files = dataset.build(tmp_path)
    dataset.write(files, tmp_path)
    registry = json.loads((tmp_path / "dataset_info.json").read_text(encoding="ascii"))
    assert {"mine_colour_2", "mine_colour_3", "mine_colour_test", "etlch_ner_100"} <= set(registry)
    made = json.loads((tmp_path / registry["mine_colour_3"]["file_name"]).read_text(encoding="utf-8"))
    assert made[2] == {
        "id": "c2",
        "instruction": 'List ["colour"] as JSON.',
        "input": "The sky is blue 2.",
        "output": '{"colour": ["blue"]}',
        "record": "c2",
        "corpus": "mine",
        "card": "colour",
        "format": "json_fields",
        "schema": '["colour"]',
        "context": "none",
        "seed": dataset.SEED,
    }
    write_card(tmp_path / "tasks", scales=[10])
    with pytest.raises(EtlchError, match="found 3 records"):
        dataset.build(tmp_path)
