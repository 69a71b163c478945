"""The knowledge base's markup: what is marked is found, and every mistake is named with its line."""

import re

import pytest

from etlch.cli import main
from etlch.errors import EtlchError, ManyErrors
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
    ]
    assert main(["knowledge", str(good)]) == 0


def test_the_command_counts_the_whole_base_by_language(root, monkeypatch, capsys):
    monkeypatch.chdir(root)
    assert main(["knowledge"]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    counts = {line[:28].strip(): [int(n.replace(",", "")) for n in line[28:].split()] for line in lines}
    assert head.split() == ["zh-TW", "en"]
    by_hand = [
        sum("lang: " + lang in p.read_text() for p in root.glob("data/knowledge/*.yaml")) for lang in head.split()
    ]
    assert counts["topics"] == by_hand
    assert counts["entity types"] == [14, 14] and counts["themes"] == [12, 12]


def test_the_triples_are_of_the_themes_relations_and_free_ones(root):
    """The relations of the guide's table; 2,400 of them, and others beside."""
    guide = (root / "data" / "knowledge" / "README.md").read_text("utf-8")
    table = {theme: set(names.split()) for theme, names in re.findall(r"^\| (\S+) \| (.+) \|$", guide, re.M)}
    assert set(THEMES) <= set(table)
    topics = [t for t in load_topics(root / "data" / "knowledge") if t.lang == "zh-TW"]
    used = [(t.theme, triple.relation) for t in topics for s in t.sentences for triple in s.triples]
    known = set().union(*(table[theme] for theme in THEMES))
    assert sum(relation in known for _, relation in used) >= 2400
    assert len({relation for _, relation in used} - known) > 100
    for theme in THEMES:
        own = {relation for other, relation in used if other == theme}
        assert len(own & table[theme]) >= 0.8 * len(table[theme]), theme


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


def test_the_breadth_of_the_base(root):
    topics = [t for t in load_topics(root / "data" / "knowledge") if t.lang == "zh-TW"]
    counts = summary(topics)
    assert counts["topics"] >= 100
    assert counts["sentences"] >= 1500
    assert counts["with a second wording"] >= counts["sentences"] / 2
    assert counts["entity mentions"] >= 4000
    assert counts["triples"] >= 2400
    assert counts["entity types"] == 14
    assert min(counts[name] for name in ("nested mentions", "without a triple", "with three triples or more")) > 50
    assert counts["aliases"] > 50
    assert (
        {t.theme for t in topics if t.split == "train"} == {t.theme for t in topics if t.split == "test"} == set(THEMES)
    )
    english = [t for t in load_topics(root / "data" / "knowledge") if t.lang == "en"]
    assert len(english) >= 24 and {t.slug.removesuffix("_en") for t in english} <= {t.slug for t in topics}
    for topic in topics + english:
        assert 14 <= len(topic.sentences) <= 20, topic.slug


def test_a_test_topic_is_a_test_topic_in_every_language(root):
    topics = {t.slug: t.split for t in load_topics(root / "data" / "knowledge")}
    for slug, split in topics.items():
        assert topics.get(slug.removesuffix("_en"), split) == split, slug
