"""What `make data` builds: current, nested, right by construction, free of leakage, the same bytes again."""

import json
import time

import pytest

from etlch.errors import EtlchError
from etlch.examples import dataset
from etlch.knowledge import leakage
from etlch.knowledge.compose import compose
from etlch.knowledge.datacard import nearest_shares
from etlch.knowledge.topics import Sentence, Topic, Wording
from etlch.records import Record, read_records
from etlch.tasks import load_cards


@pytest.fixture(scope="module")
def built(root):
    return dataset.build(root)


@pytest.fixture(scope="module")
def train(root):
    return list(read_records(root / dataset.ETLCH_TRAIN))


@pytest.fixture(scope="module")
def test_set(root):
    return list(read_records(root / dataset.ETLCH_TEST))


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


TESTED = {("etlch", "zh-TW"): 300, ("short", "zh-TW"): 150, ("short", "en"): 75}  # records of the test sets


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


def test_gold_is_right_by_construction(train, test_set):
    """Spans are checked by Record itself; here triples, fields and lengths."""
    for record in train + test_set:
        assert 200 <= len(record.text) <= 1200
        for triple in record.triples:
            assert triple.head in record.text and triple.tail in record.text
        assert 3 <= len(record.fields) <= 7
        for key, values in record.fields.items():
            assert all(value in record.text for value in values)
            of_type = {e.text for e in record.entities if e.type == key}
            assert not of_type or set(values) == of_type


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


def test_the_overlap_of_articles_is_the_share_of_the_nearest_one():
    texts = ["一。二。三。四。", "一。二。五。", "四。一。六。七。八。", "九。"]
    records = [Record(str(number), text) for number, text in enumerate(texts)]
    assert nearest_shares(records) == [2 / 4, 2 / 3, 2 / 5, 0]


def test_the_build_reports_and_the_card_shows_the_same(built, tmp_path, capsys):
    dataset.write(built, tmp_path)
    printed = capsys.readouterr().out
    card = built[dataset.DATA_CARD]
    for heading in ("## Articles", "## Overlap between articles of a set", "## Gold", "## Leakage"):
        assert heading in printed and heading in card
    for row in ("| train, first 100 | 100 |", "| test | 300 |", "| 自然科學 | 5,877 |", "| 位於 | 2,603 |"):
        assert row in printed and row in card
    assert "shared sentences 0, the same after normalisation 0, shared 13-grams of characters 0" in " ".join(
        printed.split()
    )


def test_the_build_takes_far_less_than_90_seconds_of_one_core(root):
    before = time.process_time()
    dataset.build(root)
    assert time.process_time() - before < 45


def test_too_few_topics_is_said_and_does_not_hang():
    wording = Wording("字" * 120 + "。", ())
    two = tuple(Sentence((wording, Wording("詞" * n + "。", ())), (), 1) for n in (110, 120))
    topic = Topic("t", "t", "醫學", "train", "zh-TW", two)
    with pytest.raises(EtlchError, match=r"train: only \d different articles of 100"):
        compose([topic], "train", 100, "x", 1)
    with pytest.raises(EtlchError, match="no topic with split"):
        compose([], "train", 1, "x", 1)


def test_the_manifest_holds_every_file(built, root):
    manifest = json.loads((root / "data/manifest.json").read_text())
    assert set(manifest["files"]) == {p.as_posix() for p in built} - {"data/manifest.json"}
