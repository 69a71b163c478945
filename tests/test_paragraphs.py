"""Paragraphs of the knowledge base: neighbouring sentences, none of them twice."""

import re

import pytest

from etlch.errors import EtlchError
from etlch.examples import dataset
from etlch.knowledge.paragraphs import paragraphs
from etlch.knowledge.relations import Relations, load
from etlch.knowledge.topics import Sentence, Topic, Wording, load_topics
from etlch.records import Entity

SENTENCES = 13  # of each topic: cut into twos and threes, one may be left over


def topic(slug: str, lang: str, split: str = "train") -> Topic:
    """Sentences that say where they come from: `a7 is.` with the mention `a7`."""
    end = " is." if lang == "en" else "在此。"
    kind = "organism" if lang == "en" else "生物"
    names = [f"{slug}{number}" for number in range(SENTENCES)]
    wordings = [Wording(name + end, (Entity(name, kind, ((0, len(name)),)),)) for name in names]
    return Topic(slug, slug, "生物", split, lang, tuple(Sentence((wording,), (), 1) for wording in wordings))


def made(count: int, lang: str = "zh-TW") -> list:
    """Paragraphs of three such topics; others, of another split or language, are at hand."""
    other = "zh-TW" if lang == "en" else "en"
    topics = [*(topic(slug, lang) for slug in "abc"), topic("x", lang, "test"), topic("y", other)]
    return paragraphs(topics, Relations({}), "train", lang, count, "p", 7)


def mentions(record) -> list[tuple[str, int]]:
    """The sentences of a paragraph as (topic, number)."""
    return [(entity.text[0], int(entity.text[1:])) for entity in record.entities]


def test_a_paragraph_is_two_to_four_neighbours_of_one_topic_in_reading_order():
    for record in made(15):
        (first, *_) = found = mentions(record)
        assert 2 <= len(found) <= 4
        assert found == [(first[0], first[1] + step) for step in range(len(found))]
        assert record.source == f"knowledge/{first[0]}"


def test_no_sentence_comes_again():
    used = [sentence for record in made(15) for sentence in mentions(record)]
    assert len(used) == len(set(used)) > 2 * SENTENCES


def test_topics_take_turns():
    sources = [record.source[-1] for record in made(12)]
    assert [sorted(sources[start : start + 3]) for start in (0, 3, 6, 9)] == [["a", "b", "c"]] * 4
    assert len({tuple(sources[start : start + 3]) for start in (0, 3, 6, 9)}) > 1, "not always in the same order"


def test_english_sentences_are_joined_by_a_blank_and_chinese_ones_are_not():
    for record in made(12, "en"):
        assert record.text == " ".join(f"{slug}{number} is." for slug, number in mentions(record))
        assert all(record.text[slice(*span)] == entity.text for entity in record.entities for span in entity.spans)
    for record in made(12):
        assert record.text == "".join(f"{slug}{number}在此。" for slug, number in mentions(record))


def test_too_many_is_said():
    with pytest.raises(EtlchError, match=r"train: only \d+ different paragraphs of 500 .expected more topics in zh-TW"):
        made(500)
    with pytest.raises(EtlchError, match="dev: only 0 different paragraphs of 1"):
        paragraphs([topic("a", "en")], Relations({}), "dev", "en", 1, "p", 7)


@pytest.fixture(scope="module")
def topics(root):
    return load_topics(root / dataset.KNOWLEDGE)


@pytest.mark.parametrize(("lang", "few", "many"), [("zh-TW", 100, 300), ("en", 30, 100)])
def test_the_first_of_a_longer_call_are_those_of_a_shorter_one(topics, lang, few, many):
    longer = paragraphs(topics, Relations({}), "train", lang, many, "p", dataset.SEED)
    assert paragraphs(topics, Relations({}), "train", lang, few, "p", dataset.SEED) == longer[:few]
    assert len({record.text for record in longer}) == many
    assert paragraphs(topics, Relations({}), "train", lang, few, "p", dataset.SEED + 1) != longer[:few]


@pytest.mark.parametrize("lang", ["zh-TW", "en"])
def test_gold_of_the_knowledge_base_stands_in_the_text(root, topics, lang):
    of_split = {f"knowledge/{topic.slug}" for topic in topics if (topic.split, topic.lang) == ("test", lang)}
    for record in paragraphs(topics, load(root / dataset.KNOWLEDGE), "test", lang, 75, "p", dataset.SEED):
        assert record.source in of_split
        assert all(record.text[slice(*span)] == entity.text for entity in record.entities for span in entity.spans)
        for triple in record.triples:
            assert triple.head in record.text and triple.tail in record.text
        assert record.fields and all(value in record.text for values in record.fields.values() for value in values)
        assert (lang == "en") == bool(re.search(r"[.!?] [A-Z]", record.text))
