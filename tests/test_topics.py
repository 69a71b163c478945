"""The knowledge base's markup: what is marked is found, and every mistake is named with its line."""

import re
from collections import Counter
from dataclasses import replace

import pytest

from etlch.cli import main
from etlch.errors import EtlchError, ManyErrors
from etlch.knowledge import relations
from etlch.knowledge.topics import THEMES, load_topic, load_topics, parse_markup, parse_triple, summary

TOPIC = """topic: 測試
theme: 自然科學
split: train
lang: zh-TW
sentences:
  - text: "[黃金比例|自然科學]約為[1.618|度量]。"
    also: "[1.618|度量]稱為[黃金比例|自然科學]。"
    triples: [黃金比例－數值約為－1.618]
  - text: "[歐幾里得|人物]研究[黃金比例|自然科學]。"
"""


def write(tmp_path, text, name="t.yaml"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_nested_markup_keeps_offsets():
    wording = parse_markup("在[[臺灣大學|組織]醫學院|組織]。")
    assert wording.text == "在臺灣大學醫學院。"
    assert [(e.text, e.spans) for e in wording.entities] == [("臺灣大學醫學院", ((1, 8),)), ("臺灣大學", ((1, 5),))]


@pytest.mark.parametrize("marked", ["[甲|x", "甲|x]", "[甲]", "[|x]", "甲]", "[甲|[乙|y]"])
def test_broken_markup_is_refused(marked):
    with pytest.raises(EtlchError):
        parse_markup(marked)


@pytest.mark.parametrize("written", ["甲－乙", "甲－乙－丙－丁", "甲－－丙", "甲-乙-丙"])
def test_a_triple_has_three_parts(written):
    with pytest.raises(EtlchError, match="expected head－relation－tail"):
        parse_triple(written)


def test_a_topic_is_read(tmp_path):
    topic = load_topic(write(tmp_path, TOPIC))
    assert [len(s.wordings) for s in topic.sentences] == [2, 1]
    (triple,) = topic.sentences[0].triples
    assert (triple.head_type, triple.relation, triple.tail_type) == ("自然科學", "數值約為", "度量")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("[歐幾里得|人物]", "[歐幾里得|人物", "t.yaml:9: sentence 2: text: found '|' alone"),
        ("[歐幾里得|人物]", "[歐幾里得|人]", "unknown type '人'"),
        ("黃金比例－數值約為－1.618", "黃金比例－數值約為－1.62", "tail '1.62' is not in 'text'"),
        ('[1.618|度量]稱為[黃金比例|自然科學]。"', '[黃金比例|自然科學]稱為它。"', "tail '1.618' is not in 'also'"),
        ("研究[黃金比例|自然科學]", "研究黃金比例", "'黃金比例' is marked elsewhere as 自然科學 but not here"),
        ("研究[黃金比例|自然科學]", "研究[黃金比例|專業]", "is 專業 here and 自然科學 elsewhere"),
        ("研究[黃金比例|自然科學]。", "研究[黃金比例|自然科學]", "no full stop"),
        ("theme: 自然科學", "theme: 科學", "theme: found '科學'"),
        ("split: train", "split: dev", "split: found 'dev'"),
        ("    triples:", "    triple:", "unknown key 'triple'"),
        ("triples: [黃金比例－數值約為－1.618]", "triples: 黃金比例", "triples: found '黃金比例' (expected a list)"),
        (
            "split: train",
            "split: train\nsplit: test",
            "t.yaml:4: found key 'split' again (expected once; first on line 3)",
        ),
        ("theme: 自然科學", "theme: 科學", "t.yaml:2: theme"),
        ("sentences:", "sentences: [", "not YAML"),
    ],
)
def test_mistakes_are_named(tmp_path, old, new, expected):
    assert old in TOPIC
    path = write(tmp_path, TOPIC.replace(old, new))
    with pytest.raises(EtlchError) as error:
        load_topic(path)
    assert expected in str(error.value)


def test_bytes_that_are_not_utf8_are_refused(tmp_path):
    path = tmp_path / "t.yaml"
    path.write_bytes(TOPIC.encode("utf-16"))
    with pytest.raises(EtlchError, match="not UTF-8"):
        load_topic(path)


def test_a_sentence_stands_once_in_the_base(tmp_path):
    write(tmp_path, TOPIC, "a.yaml")
    write(tmp_path, TOPIC, "b.yaml")
    with pytest.raises(ManyErrors, match="the same sentence as"):
        load_topics(tmp_path)


def test_the_command_counts_what_is_right_and_goes_on_after_a_bad_file(tmp_path, capsys):
    good = write(tmp_path, TOPIC, "good.yaml")
    bad = write(tmp_path, TOPIC.replace("split: train", "split: dev"), "bad.yaml")
    last = write(tmp_path, TOPIC.replace("[歐幾里得|人物]研究[黃金比例|自然科學]", "[歐幾里得|人物]是人"), "last.yaml")
    none = tmp_path / "none.yaml"
    assert main(["knowledge", *map(str, (none, bad, good, last))]) == 2
    out, err = capsys.readouterr()
    assert out.splitlines()[0] == (
        "good: 2 sentences, 1 with a second wording, 4 entity mentions, 0 nested mentions, 1 triples, 1 without a triple"
    )
    assert re.search(r"^sentences +4$", out, re.M) and re.search(r"^topics +2$", out, re.M)
    assert err.splitlines() == [
        f"error: {none}: cannot be read (No such file or directory)",
        f"{bad}:3: split: found 'dev' (expected one of train, validation, test)",
        f"{last}:6: the same sentence as {good}:6: 黃金比例約為1.618。",
        f"{last}:6: the same sentence as {good}:6: 1.618稱為黃金比例。",
        f"{last}:1: topic: found '測試' again (expected once; first in {good})",
    ]
    assert main(["knowledge", str(good)]) == 0


def test_the_command_counts_the_whole_base_by_language(root, monkeypatch, capsys):
    monkeypatch.chdir(root)
    assert main(["knowledge"]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    counts = {line[:28].strip(): [int(n.replace(",", "")) for n in line[28:].split()] for line in lines}
    assert head.split() == ["zh-TW", "en"]
    by_hand = [
        sum("\nlang: " + lang in p.read_text() for p in root.glob("data/knowledge/*.yaml")) for lang in head.split()
    ]
    assert counts["topics"] == by_hand
    assert counts["entity types"] == [14, 14] and counts["themes"] == [12, 12]


@pytest.fixture(scope="module")
def base(root):
    folder = root / "data" / "knowledge"
    return load_topics(folder), relations.load(folder)


def test_the_triples_are_of_the_themes_schemas(base):
    topics, known = base
    assert len(known.relations) > 80
    assert {theme for relation in known.relations.values() for theme in relation.themes} == set(THEMES)
    assert known.share(topics) >= relations.SHARE
    for lang in ("zh-TW", "en"):
        assert known.share([topic for topic in topics if topic.lang == lang]) >= relations.SHARE
    for theme, names in (("醫學", "症狀 別名 發病部位 可能後果 病因"), ("天文對象", "別名 屬於 直徑 質量 名稱由來")):
        assert set(names.split()) <= {name for name, relation in known.relations.items() if theme in relation.themes}


def test_the_whole_base_is_free_of_what_the_checks_find(base):
    assert relations.problems(*base) == []


CHECKED = """topic: 測試
theme: 人物
split: train
lang: zh-TW
sentences:
  - text: "[聖修伯里|人物]兼具[作家|專業]和[飛行員|專業]的身分，[1900年|時間]出生。"
    triples: [聖修伯里－職業－作家, 聖修伯里－職業－飛行員, 聖修伯里－出生日期－1900年]
  - text: "[藍鯨|生物]分布於[印度洋|地理地區]、[太平洋|地理地區]和[大西洋|地理地區]。"
    triples: [藍鯨－分布－印度洋, 藍鯨－分布－太平洋, 藍鯨－分布－大西洋]
"""


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("聖修伯里－職業－飛行員, ", "", "t.yaml:6: no triple 聖修伯里－職業－飛行員, while another part"),
        (", 藍鯨－分布－大西洋", "", "t.yaml:8: no triple 藍鯨－分布－大西洋, while another part"),
        ("[太平洋|地理地區]", "太平洋", "t.yaml:8: '、太平洋和' stands in a coordination of '印度洋' and '大西洋'"),
        ("聖修伯里－出生日期－1900年", "1900年－出生日期－聖修伯里", "head is 時間 (expected 人物 or 生物)"),
        (
            "聖修伯里－出生日期－1900年",
            "聖修伯里－出生日子－1900年",
            "unknown relation '出生日子' (expected one of relations.yaml",
        ),
        ("和[飛行員|專業]的身分", "和[飛行員|專業]的身分，分別見於[書|產品]", ""),
    ],
)
def test_half_annotated_coordinations_directions_and_unknown_relations_are_named(base, tmp_path, old, new, expected):
    assert old in CHECKED
    changed = CHECKED.replace(old, new)
    if "太平洋" in old and "triples" not in old and new == "太平洋":
        changed = changed.replace("藍鯨－分布－太平洋, ", "")
    topic = load_topic(write(tmp_path, changed))
    assert relations.problems([load_topic(write(tmp_path, CHECKED, "right.yaml"))], base[1]) == []
    found = relations.problems([topic], base[1])
    assert (not found) if not expected else any(expected in problem for problem in found), found


def test_an_exception_is_taken_and_one_that_is_not_needed_is_said(base, tmp_path):
    _, known = base
    topic = load_topic(write(tmp_path, CHECKED.replace("聖修伯里－職業－飛行員, ", "")))
    excused = replace(known, apart={"t": ("聖修伯里－職業－飛行員",)})
    assert relations.problems([topic], excused) == []
    right = load_topic(write(tmp_path, CHECKED))
    (problem,) = relations.problems([right], excused)
    assert "relations.yaml: apart: t: found 聖修伯里－職業－飛行員 (expected nothing" in problem


def test_a_topic_named_twice_or_in_two_splits_is_said(base, tmp_path):
    one = load_topic(write(tmp_path, CHECKED, "t.yaml"))
    other = load_topic(write(tmp_path, CHECKED.replace("split: train", "split: validation"), "u.yaml"))
    found = relations.problems([one, other], base[1])
    assert found == [f"{tmp_path}/u.yaml:1: topic: found '測試' again (expected once; first in {tmp_path}/t.yaml)"]
    english = replace(other, slug="t_en", lang="en", sentences=())
    (problem,) = relations.problems([one, english], base[1])
    assert "split: found 'validation' (expected 'train'" in problem


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("themes: [人物]", "themes: [人]", "relations.yaml:2: found '人' (expected one of 人物,"),
        ("tails: [時間]", "tails: [時辰]", "relations.yaml:2: found '時辰' (expected one of 人物,"),
        ("生於: 出生日期", "生於: 出生", "relations.yaml:4: found '出生' (expected a relation of the table)"),
        ("heads", "head", "unknown key 'head'"),
    ],
)
def test_mistakes_in_the_table_are_named(tmp_path, old, new, expected):
    text = "relations:\n  出生日期: {en: date of birth, heads: [人物], tails: [時間], themes: [人物]}\nfree:\n  生於: 出生日期\n"
    write(tmp_path, text, "relations.yaml")
    assert relations.load(tmp_path).name("date of birth", "en") == "出生日期"
    write(tmp_path, text.replace(old, new), "relations.yaml")
    with pytest.raises(ManyErrors) as error:
        relations.load(tmp_path)
    assert expected in str(error.value)


def test_no_place_in_a_topic_is_without_entities(root):
    """Nothing that a model could learn to skip: in every fifth of a topic there is as much to find."""
    topics = [t for t in load_topics(root / "data" / "knowledge") if t.lang == "zh-TW"]
    fifths: dict[int, list[int]] = {}
    for topic in topics:
        for number, sentence in enumerate(topic.sentences):
            fifths.setdefault(5 * number // len(topic.sentences), []).append(len(sentence.wordings[0].entities))
    means = [sum(counts) / len(counts) for counts in fifths.values()]
    assert len(means) == 5 and max(means) < 1.2 * min(means)
    assert all(min(counts) > 0 for counts in fifths.values())


def test_the_breadth_of_the_base(base):
    by_lang = {lang: [t for t in base[0] if t.lang == lang] for lang in ("zh-TW", "en")}
    for lang, topics, validation, test in (("zh-TW", 290, 27, 60), ("en", 90, 10, 20)):
        counts = summary(by_lang[lang])
        assert counts["topics"] >= topics and counts["entity types"] == 14
        assert counts["sentences"] >= 14 * topics
        assert counts["with a second wording"] >= counts["sentences"] / 2
        assert counts["triples"] >= 1.5 * counts["sentences"]
        splits = Counter(topic.split for topic in by_lang[lang])
        assert splits["validation"] >= validation and splits["test"] >= test
        for split in splits:
            assert {topic.theme for topic in by_lang[lang] if topic.split == split} == set(THEMES), (lang, split)
    for topic in base[0]:
        assert 14 <= len(topic.sentences) <= 20, topic.slug
