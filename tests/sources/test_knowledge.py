"""The knowledge base's markup: what is marked is found, and every mistake is named with its line."""

import pytest

from etlch.errors import EtlchError, ManyErrors
from etlch.sources.knowledge import THEMES, load_topic, load_topics, parse_markup, parse_triple, summary

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


def test_the_breadth_of_the_base(root):
    topics = [t for t in load_topics(root / "data" / "knowledge") if t.lang == "zh-TW"]
    counts = summary(topics)
    assert counts["topics"] >= 100
    assert counts["sentences"] >= 1500
    assert counts["with a second wording"] >= counts["sentences"] / 2
    assert counts["entity mentions"] >= 4000
    assert counts["triples"] >= 2400
    assert counts["nested mentions"] > 0
    assert (
        {t.theme for t in topics if t.split == "train"} == {t.theme for t in topics if t.split == "test"} == set(THEMES)
    )
    english = [t for t in load_topics(root / "data" / "knowledge") if t.lang == "en"]
    assert len(english) >= 24
    for topic in topics + english:
        assert 14 <= len(topic.sentences) <= 20, topic.slug


def test_a_test_topic_is_a_test_topic_in_every_language(root):
    topics = {t.slug: t.split for t in load_topics(root / "data" / "knowledge")}
    for slug, split in topics.items():
        assert topics.get(slug.removesuffix("_en"), split) == split, slug
