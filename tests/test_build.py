"""What `make data` builds: current, nested, right by construction, free of leakage, the same bytes again."""

import json
import random
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from etlch.errors import EtlchError, ManyErrors
from etlch.examples import dataset
from etlch.knowledge import content, leakage
from etlch.knowledge.compose import MAX_USES, compose
from etlch.knowledge.fields import fields
from etlch.knowledge.relations import Relation, Relations
from etlch.knowledge.topics import TYPES_OF, Sentence, Topic, Wording
from etlch.records import Entity, Record, Triple, read_records
from etlch.tasks import load_cards

NONE = Relations({})


@pytest.fixture(scope="module")
def base(root):
    return dataset.base(root)


@pytest.fixture(scope="module")
def built(root, base):
    return dataset.build(root, of=base)


@pytest.fixture(scope="module")
def articles(base):
    """Every article: both languages, all splits."""
    return {path: rows for path, rows in base.records.items() if path.parent.name.startswith("etlch")}


def test_committed_files_are_current(built, root):
    assert dataset.stale(built, root) == []


def test_a_changed_file_is_noticed(built, tmp_path):
    dataset.write(built, tmp_path)
    assert dataset.stale(built, tmp_path) == []
    path = tmp_path / "data/etlch/ner_100.json"
    path.write_bytes(path.read_bytes()[:-2])
    (tmp_path / "data/etlch/kge_100.json").unlink()
    assert len(dataset.stale(built, tmp_path)) == 2


def test_the_same_input_gives_the_same_bytes(built, root):
    assert dataset.build(root) == built


TESTED = {
    ("etlch", "zh-TW"): 300,
    ("etlch_en", "en"): 100,
    ("short", "zh-TW"): 150,
    ("short", "en"): 75,
}  # records of the test sets


def test_sets_are_nested_and_complete(root):
    registry = json.loads((root / "dataset_info.json").read_text(encoding="ascii"))
    cards = load_cards(root / "tasks", built=True)
    assert {(card.family, card.language) for card in cards} == set(TESTED)
    for card in cards:
        sets = {
            part: json.loads((root / registry[card.dataset(part)]["file_name"]).read_text(encoding="utf-8"))
            for part in (*card.scales, "test")
        }
        most = card.scales[-1]
        for scale in card.scales:
            assert sets[scale] == sets[most][:scale]
            assert len(sets[scale]) == scale
        assert len(sets["test"]) == TESTED[card.family, card.language]
        assert all(
            isinstance(value, str) or key == "seed" for row in sets[most] + sets["test"] for key, value in row.items()
        )
        assert len({row["input"] for row in sets[most]}) == most


def test_gold_is_right_by_construction(articles):
    """Spans are checked by Record itself; here triples, fields and lengths."""
    for path, records in articles.items():
        longest = max(len(record.text) for record in records) / (4 if "_en" in path.parent.name else 1)
        assert 1000 < longest <= 1500 or "validation" in path.stem, path
        for record in records:
            for triple in record.triples:
                assert triple.head in record.text and triple.tail in record.text
            assert 1 <= len(record.fields) <= 7
            assert all(value in record.text for values in record.fields.values() for value in values)


def test_a_json_key_is_a_relation_or_a_type_and_its_subject_stands_in_the_text(articles, base):
    names = {"zh-TW": set(base.known.relations), "en": {r.en for r in base.known.relations.values()}}
    for records in articles.values():
        keys = [(key, record) for record in records for key in record.fields]
        for key, record in keys:
            if key in names[record.lang] or key in TYPES_OF[record.lang]:
                continue
            subject, _, relation = key.rpartition("的")
            if record.lang == "en":
                relation, _, subject = key[:-1].partition(" (")
            assert relation in names[record.lang] and subject in record.text, key
        assert sum(key in TYPES_OF[record.lang] for key, record in keys) <= len(keys) / 4
        assert any(not record.fields[key] for key, record in keys), "some keys have no answer"


def test_values_are_of_the_subject_alone_and_read_from_both_ends():
    """The blue whale's fault: a key of which nobody could say whose it is."""
    known = Relations(
        {
            "作者": Relation("author", ("產品",), ("人物",), ("作品",)),
            "作品": Relation("notable work", ("人物",), ("產品",), ("人物",), inverse=("作者",)),
            "國籍": Relation("nationality", ("人物",), ("地理地區",)),
            "別名": Relation("also known as", "any", "same", symmetric=True),
        }
    )
    triples = [
        Triple("莫內", "國籍", "法國"),
        Triple("《睡蓮》", "作者", "莫內"),
        Triple("印象派之父", "別名", "莫內"),
        Triple("透納", "國籍", "英國"),
    ]
    topic = Topic("monet", "莫內", "人物", "train", "zh-TW", (Sentence((), tuple(triples), 1),))
    text = "莫內、透納、法國、英國、《睡蓮》、印象派之父"
    asked: dict[str, list[str]] = {}
    for seed in range(60):
        asked |= fields(text, [Entity("莫內", "人物", ((0, 2),))], triples, [topic], known, random.Random(seed))
    assert asked == {
        "國籍": ["法國"],
        "作品": ["《睡蓮》"],
        "別名": ["印象派之父"],
        "透納的國籍": ["英國"],
        "《睡蓮》的作者": ["莫內"],
        "人物": ["莫內"],
    }


def test_each_scale_adds_content(base):
    topics = {topic.slug: topic for topic in base.topics}
    for path, scales in (
        (Path("data/etlch/train.jsonl"), (100, 300, 500, 1000)),
        (Path("data/etlch_en/train.jsonl"), (100, 300)),
    ):
        found = [content.measure(base.records[path][:scale], topics) for scale in scales]
        assert all(
            more.topics > fewer.topics and more.distinct > 1.3 * fewer.distinct for fewer, more in pairwise(found)
        )
        assert found[-1].uses <= MAX_USES
        if len(found) == 4:
            assert found[3].distinct >= 4 * found[0].distinct and found[3].distinct >= 1.4 * found[2].distinct


def test_a_broken_promise_is_said(base):
    (train, *_) = base.records
    few = replace(base, records=base.records | {train: base.records[train][:100] * 10})
    problems = dataset.broken(few)
    assert any("distinct triples" in problem and "expected 4 times" in problem for problem in problems)
    assert any("a wording stands in" in problem and "expected at most 3" in problem for problem in problems)


def test_nothing_of_the_gold_breaks_a_promise(base):
    assert dataset.broken(base) == []


def test_a_validation_sentence_in_training_is_refused(base):
    train, validation, *_ = base.records
    with pytest.raises(ManyErrors, match=r"validation.jsonl: leaks into data/etlch/train.jsonl"):
        dataset._demand_no_leak(base.records | {train: [*base.records[train], base.records[validation][0]]})


def test_gold_answers_parse_back(root):
    for card in load_cards(root / "tasks", built=True):
        train, test = (list(read_records(root / path)) for path in (card.train, card.test))
        for record in train[:200] + test:
            parsed = card.parse(card.answer(record), record)
            assert parsed.status == "ok", (card.name, record.id, parsed.problems)
            if card.format.part == "triples":
                assert {(t.head, t.relation, t.tail) for t in parsed.triples} == {
                    (t.head, t.relation, t.tail) for t in record.triples
                }
            elif card.format.part == "fields":
                assert {k: list(v) for k, v in parsed.fields} == record.fields
            else:
                assert {(e.text, e.type) for e in parsed.entities} == {(e.text, e.type) for e in record.entities}


def test_no_test_sentence_in_any_training_text(root):
    for train, test in {(card.train, card.test) for card in load_cards(root / "tasks", built=True)}:
        found = leakage.measure(read_records(root / train), read_records(root / test))
        assert found.clean, (test, found.examples)


def test_leakage_is_found_where_there_is_some():
    train = [Record("a", "黃金比例的數值約為一點六一八，符號寫作希臘字母。另一句話。", source="knowledge/x")]
    assert leakage.measure(train, [Record("b", "另一句話。", source="knowledge/y")]).sentences == 1
    assert leakage.measure(train, [Record("b", "另一句話！", source="knowledge/y")]).normalised == 1
    assert leakage.measure(train, [Record("b", "全新。", source="knowledge/z+x")]).topics == 1
    inside = leakage.measure(train, [Record("b", "據說黃金比例的數值約為一點六一八左右。", source="knowledge/y")])
    assert inside.sentences == 0 and inside.ngrams > 0 and inside.records_with_ngram == 1


def test_a_shared_run_across_the_end_of_a_sentence_is_found():
    train = [Record("a", "甲乙丙丁戊己庚辛。子丑寅卯辰巳午未。", source="knowledge/x")]
    test = [Record("b", "說丙丁戊己庚辛。子丑寅卯辰巳午！", source="knowledge/y")]  # 丙 to 午: thirteen
    found = leakage.measure(train, test)
    assert (found.sentences, found.normalised, found.ngrams) == (0, 0, 1)


def test_english_is_compared_by_sentences_and_by_thirteen_words():
    shared = "one two three four five six seven eight nine ten eleven twelve thirteen"
    train = [Record("a", f"It is 1.5 m high. Then {shared} came!", "en", source="knowledge/x")]
    whole = leakage.measure(train, [Record("b", "Is it? It is 1.5 m high. No.", "en", source="knowledge/y")])
    assert (whole.sentences, whole.ngrams) == (1, 0)
    for text, ngrams in ((f"A, {shared.upper()}, b.", 1), (f"{shared.removeprefix('one ')} stay.", 0)):
        found = leakage.measure(train, [Record("b", text, "en", source="knowledge/y")])
        assert (found.sentences, found.normalised, found.ngrams) == (0, 0, ngrams)


def test_the_build_reports_and_the_card_shows_the_same(built, tmp_path, capsys):
    dataset.write(built, tmp_path)
    printed = capsys.readouterr().out
    card = built[dataset.DATA_CARD]
    for heading in ("## Content by scale", "## Articles", "## Gold", "## Leakage"):
        assert heading in printed and heading in card
    for row in ("| etlch/train, first 100 | 100 |", "| etlch/test | 300 |", "| 自然科學 | ", "| 位於 | "):
        assert row in printed and row in card
    assert "shared sentences 0, the same after normalisation 0, shared 13-grams of characters 0" in " ".join(
        printed.split()
    )


def test_the_build_takes_far_less_than_90_seconds_of_one_core(root):
    before = time.process_time()
    dataset.build(root)
    assert time.process_time() - before < 45


def test_too_few_topics_is_said_and_does_not_hang():
    two = tuple(Sentence((Wording(letter * 120 + "。", ()),), (), 1) for letter in "字詞")
    topic = Topic("t", "t", "醫學", "train", "zh-TW", two)
    with pytest.raises(EtlchError, match=r"train: only \d articles of 100 in zh-TW .expected more topics"):
        compose([topic], NONE, "train", "zh-TW", 100, "x", 1)
    with pytest.raises(EtlchError, match="no topic with split"):
        compose([], NONE, "train", "zh-TW", 1, "x", 1)


def test_the_manifest_holds_every_file(built, root):
    manifest = json.loads((root / "data/manifest.json").read_text())
    assert set(manifest["files"]) == {p.as_posix() for p in built} - {"data/manifest.json"}
