"""The pure parts of the teacher pipeline: checks, votes, duplicates, waits, budget, estimate, prompts, topics."""

from __future__ import annotations

import asyncio
import random
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import pytest
from scripted import HEADER

from etlch.endpoint.budget import Budget, Prices, Usage, likely_tokens, most_prompt_tokens
from etlch.endpoint.client import backoff, retry_after
from etlch.endpoint.halt import Halt, StopError
from etlch.endpoint.settings import body_of, endpoint_of
from etlch.errors import EtlchError
from etlch.records import Entity, Record, Triple, problems_of
from etlch.tasks import Card, load_card
from etlch.teach import checks, templates
from etlch.teach.assemble import assemble, majority
from etlch.teach.duplicates import NearDuplicates, shingles
from etlch.teach.pipeline import Piece, Plan
from etlch.teach.run import read_topics
from etlch.teach.tables import estimate

TEXT = "臺灣大學醫學院屬於臺灣大學。院長用AI研究AIDS，也用AI教學。"
DRAFT = Record(id="a", text=TEXT)


@pytest.fixture(scope="module")
def cards(root: Path) -> dict[str, Card]:
    return {name: load_card(root / "tasks" / f"{name}.yaml") for name in ("kge", "ner")}


def options(**changed) -> Namespace:
    """The command line's defaults."""
    values = {"base_url": "http://127.0.0.1:1/v1", "model": ["m"], "key_env": "K", "articles": 1, "length": 800}
    values |= {"temperature": 0.7, "max_tokens": 3000, "request": "{}", "concurrency": 8, "retries": 6, "backoff": 1.0}
    values |= {"timeout": 180.0, "budget_tokens": None, "budget_cost": None, "price_in": [], "price_out": []}
    return Namespace(**(values | changed))


BODY = {"temperature": 0.5, "max_tokens": 3000}


# --- votes


def test_an_item_of_more_than_half_is_kept_and_of_exactly_half_is_a_tie():
    assert majority([["a", "b"], ["b", "c"], ["b", "a"]]) == (["a", "b"], [])
    assert majority([["a", "b"], ["b", "c"]]) == (["b"], ["a", "c"])
    assert majority([["a", "b"], ["a"], ["c", "b"], ["d", "a"]]) == (["a"], ["b"])


def test_one_teacher_is_right_and_a_repeated_item_is_one_vote():
    assert majority([["a", "a", "b"]]) == (["a", "b"], [])
    assert majority([["a", "a"], ["b"], ["c"]]) == ([], [])
    assert majority([]) == ([], [])


# --- near-duplicates


def test_articles_are_near_duplicates_from_a_jaccard_of_four_fifths():
    base = "".join(chr(0x4E00 + i) for i in range(49))  # 45 shingles
    seen = NearDuplicates()
    assert seen.add("first", base) == ""
    assert seen.add("five more", base + "一二三四五") == "first"  # 45 of 50
    assert seen.add("eleven more", base + "".join(chr(0x5500 + i) for i in range(11))) == "first"  # 45 of 56: 0.804
    assert seen.add("twelve more", base + "".join(chr(0x5600 + i) for i in range(12))) == ""  # 45 of 57: 0.789


def test_similarity_agrees_with_the_definition_on_random_texts():
    rng = random.Random(3)
    seen, kept = NearDuplicates(), {}
    for number in range(60):
        text = "".join(rng.choice("甲乙丙") for _ in range(rng.randint(1, 60)))
        near = [
            n for n, t in kept.items() if len(shingles(t) & shingles(text)) >= 0.8 * len(shingles(t) | shingles(text))
        ]
        found = seen.add(str(number), text)
        assert bool(found) == bool(near)
        assert not near or found in near
        if not found:
            kept[str(number)] = text


def test_punctuation_width_and_case_hide_no_duplicate():
    seen = NearDuplicates()
    seen.add("a", "Ａ１黃金比例，約等於 1.618 的常數。")
    assert seen.add("b", "a1黃金比例約等於1.618的常數") == "a"


# --- checks


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ('{"院": ["臺灣大學"]}', None),
        ('說明如下：\n```json\n{"院": ["臺灣大學"]}\n```', None),
        ('{"院": ["臺灣大學"], "系": []}', checks.FORM),
        ("{}", checks.FORM),
        ('{"院": "臺灣大學"}', checks.FORM),
        ('{"院": [["臺灣大學"]]}', checks.FORM),
        ('{"院": [1]}', checks.FORM),
        ('{"院": ["臺灣大學"', checks.FORM),
        ('{"院": ["臺灣大學"], "院": []}', checks.FORM),
        ('{"院": []}', checks.NOTHING),
        ('{"院": ["清華大學"]}', checks.ABSENT),
        ('{"院": [" 臺灣大學"]}', checks.ABSENT),
        ('{"院": [""]}', checks.FORM),
        ('{"院": ["，"]}', checks.ABSENT),
        ("抱歉，我不能。", checks.FORM),
    ],
)
def test_gold_has_exactly_the_keys_flat_lists_and_values_of_the_article(answer: str, kind: str | None):
    if kind is None:
        assert checks.gold_pairs(answer, ("院",), TEXT) == [("院", "臺灣大學")]
        return
    with pytest.raises(checks.AnswerError) as caught:
        checks.gold_pairs(answer, ("院",), TEXT)
    assert caught.value.kind == kind


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (f"{HEADER}\n臺灣大學醫學院－屬於－臺灣大學\n臺灣大學醫學院－屬於－臺灣大學", None),
        ("臺灣大學醫學院－屬於－臺灣大學", checks.FORM),
        (f"{HEADER}\n臺灣大學醫學院 - 屬於 - 臺灣大學", checks.FORM),
        (f"{HEADER}\n臺灣大學醫學院屬於臺灣大學", checks.FORM),
        (HEADER, checks.NOTHING),
        (f"{HEADER}\n它－屬於－臺灣大學", checks.ABSENT),
    ],
)
def test_triples_follow_the_layout_and_stand_in_the_article(cards, answer: str, kind: str | None):
    if kind is None:
        assert checks.triples(answer, cards["kge"], DRAFT) == [Triple("臺灣大學醫學院", "屬於", "臺灣大學")]
        return
    with pytest.raises(checks.AnswerError) as caught:
        checks.triples(answer, cards["kge"], DRAFT)
    assert caught.value.kind == kind


def test_entities_are_of_the_types_that_a_card_names(cards):
    card = replace(cards["ner"], labels=("組織",))
    assert checks.entities('{"組織": ["臺灣大學"]}', card, DRAFT) == [Entity("臺灣大學", "組織")]
    with pytest.raises(checks.AnswerError, match="type '機構' is unknown"):
        checks.entities('{"機構": ["臺灣大學"]}', card, DRAFT)
    for answer in ("{}", '{"組織": []}'):
        with pytest.raises(checks.AnswerError, match="there is nothing"):
            checks.entities(answer, cards["ner"], DRAFT)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        (["甲"], "請擷取乙，value 為 list。"),
        (["甲"], "請擷取甲。"),
        ([], "value 為 list"),
        (["甲", "甲"], "甲 list"),
        (["甲"], ""),
    ],
)
def test_an_instruction_names_its_keys_and_states_the_rule(keys: list[str], words: str):
    good = '{"keys": ["甲", "乙"], "instruction": ["請擷取甲、乙，value 為 list。"]}'
    assert checks.instruction_and_keys(good) == ("請擷取甲、乙，value 為 list。", ("甲", "乙"))
    with pytest.raises(checks.AnswerError):
        checks.instruction_and_keys(str({"keys": keys, "instruction": [words]}).replace("'", '"'))


def test_thoughts_are_left_out_and_a_cut_or_empty_answer_is_rejected():
    assert checks.answer_text("<think>嗯</think>\r\n一\r\n二 ", "stop") == "一\n二"
    for text, finish, kind in (
        ("一", "length", checks.CUT),
        ("  \n", "stop", checks.EMPTY),
        ("嗯</think>", "", checks.EMPTY),
    ):
        with pytest.raises(checks.AnswerError) as caught:
            checks.answer_text(text, finish)
        assert caught.value.kind == kind


def test_a_latin_word_is_not_found_inside_a_longer_one():
    assert checks.occurrences("AI", TEXT) == [(17, 19), (28, 30)]
    assert checks.occurrences("AID", TEXT) == []
    assert checks.occurrences("臺灣大學", TEXT) == [(0, 4), (9, 13)]


# --- assembling


def test_a_record_has_every_occurrence_nested_ones_too_and_typed_triples():
    entities = [Entity("臺灣大學", "組織"), Entity("臺灣大學醫學院", "學院"), Entity("AI", "科技")]
    triples = [Triple("臺灣大學醫學院", "屬於", "臺灣大學"), Triple("院長", "用", "AI")]
    record = assemble(
        DRAFT, ("誰", "什麼"), [("什麼", "AI"), ("誰", "臺灣大學"), ("誰", "臺灣大學醫學院")], triples, entities
    )
    assert [(e.text, e.spans) for e in record.entities] == [
        ("臺灣大學醫學院", ((0, 7),)),
        ("臺灣大學", ((0, 4),)),
        ("臺灣大學", ((9, 13),)),
        ("AI", ((17, 19),)),
        ("AI", ((28, 30),)),
    ]
    assert [(t.head_type, t.tail_type) for t in record.triples] == [("學院", "組織"), ("", "科技")]
    assert record.fields == {"誰": ["臺灣大學醫學院", "臺灣大學"], "什麼": ["AI"]}
    assert list(problems_of(record)) == []


# --- waits


def test_waits_double_with_jitter_and_never_undercut_retry_after():
    waits = [backoff("s", n, 1.0, None) for n in range(9)]
    assert all(2**n / 2 <= wait <= 2**n for n, wait in enumerate(waits[:6]))
    assert max(waits) <= 60
    assert waits == [backoff("s", n, 1.0, None) for n in range(9)] != [backoff("t", n, 1.0, None) for n in range(9)]
    assert 7 <= backoff("s", 0, 1.0, 7.0) <= 8


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("3", 3.0),
        ("0.5", 0.5),
        ("-1", 0.0),
        ("Thu, 01 Jan 1970 00:02:00 GMT", 20.0),
        (None, None),
        ("soon", None),
        ("inf", None),
    ],
)
def test_retry_after_is_read_as_seconds_or_a_date(header: str | None, seconds: float | None):
    assert retry_after(header, now=100.0) == seconds


# --- budget


def test_prices_are_per_million_and_an_unknown_model_counts_as_the_dearest():
    prices = Prices({"a": (0.15, 0.60), "b": (3.0, 0.5)})
    assert prices.cost("a", Usage(1_000_000, 500_000)) == pytest.approx(0.45)
    assert prices.cost("c", Usage(1_000_000, 1_000_000)) == pytest.approx(3.6)
    assert Prices().cost("a", Usage(10, 10)) == 0


def test_the_bound_of_a_prompt_is_above_any_byte_level_tokenizer():
    assert most_prompt_tokens(["黃金", "ab"]) >= 6 + 2
    assert likely_tokens("黃金比例abcde") == 4 + 2


def test_a_request_waits_for_budget_that_others_hold_and_stops_when_none_is_left():
    async def scene() -> list[str]:
        budget, events = Budget(Prices(), 100, None, Halt()), []

        async def second() -> None:
            await budget.hold("m", Usage(30, 30))
            events.append("second held")

        await budget.hold("m", Usage(40, 20))
        waiting = asyncio.create_task(second())
        await asyncio.sleep(0.01)
        events.append("first settles")
        await budget.settle("m", Usage(40, 20), Usage(10, 10))
        await waiting
        await budget.settle("m", Usage(30, 30), Usage(30, 30))
        with pytest.raises(StopError, match="80 of 100 tokens spent, the next request may take 21"):
            await budget.hold("m", Usage(20, 1))
        return events

    assert asyncio.run(scene()) == ["first settles", "second held"]


# --- prompts, topics, settings, estimate


def test_a_filled_prompt_leaves_the_braces_of_an_article_alone():
    prompts = templates.load()
    assert "文中有{keys}與{x}" in prompts.fill("gold", instruction="擷取", keys='["甲"]', article="文中有{keys}與{x}")
    assert "{" not in prompts.fill("article", topic="茶", number=2, length=500)


def test_an_edited_prompt_takes_the_place_of_one_and_must_keep_its_places(tmp_path: Path):
    (tmp_path / "ner.txt").write_bytes("\ufeff{instruction}\r\n{article}".encode())
    prompts = templates.load(tmp_path)
    assert prompts.texts["ner"] == "{instruction}\r\n{article}"
    assert prompts.texts["kge"] == templates.load().texts["kge"]
    (tmp_path / "ner.txt").write_text("{article}")
    (tmp_path / "kge.txt").write_bytes(b"\xff")
    with pytest.raises(EtlchError, match=r"kge.txt: not UTF-8(.|\n)*ner.txt: \{instruction\} is missing"):
        templates.load(tmp_path)
    with pytest.raises(EtlchError, match="no such folder"):
        templates.load(tmp_path / "none")


def test_topics_are_one_a_line_whatever_the_line_ends(tmp_path: Path):
    path = tmp_path / "topics.txt"
    path.write_bytes("\ufeff黑洞\r\n\r\n# 不算\r\n 茶 \r\n".encode())
    assert read_topics(path) == ["黑洞", "茶"]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"\xa4\xa4\n", "not UTF-8"),
        (b"# none\n\n", "no topic"),
        ("茶\n茶\n".encode(), "topics.txt:2: topic '茶' again (first on line 1)"),
        (("字" * 101).encode(), "topics.txt:1: found"),
        ("茶\x00".encode(), "printable"),
        (None, "cannot be read (No such file"),
    ],
)
def test_a_bad_topics_file_is_named_with_its_line(tmp_path: Path, data: bytes | None, said: str):
    path = tmp_path / "topics.txt"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(EtlchError) as caught:
        read_topics(path)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"base_url": "localhost:8000"}, "--base-url"),
        ({"base_url": "http://[::1"}, "--base-url"),
        ({"model": ["a", "a"]}, "'a' is named twice"),
        ({"concurrency": 0}, "--concurrency: found 0"),
        ({"timeout": float("nan")}, "--timeout: found nan"),
        ({"budget_tokens": -1}, "--budget-tokens"),
        ({"budget_cost": 1.0}, "--price-in and --price-out"),
        ({"price_in": [1.0]}, "--price-in and --price-out"),
        ({"price_in": [1.0, 2.0, 3.0], "price_out": [1.0]}, "--price-in: found 3"),
        ({"request": "[]"}, "--request"),
        ({"request": '{"model": "x"}'}, "--request"),
        ({"request": '{"max_tokens": null}', "budget_tokens": 5}, "--request: takes max_tokens away"),
    ],
)
def test_an_option_that_cannot_be_is_named(changed: dict, said: str):
    given = options(**changed)
    with pytest.raises(EtlchError) as caught:
        endpoint_of(given, given.model, BODY, 1)
    assert said in str(caught.value)


def test_request_adds_and_takes_away_body_parameters_and_prices_go_with_models():
    given = options(
        request='{"max_tokens": null, "max_completion_tokens": 9}',
        model=["a", "b"],
        price_in=[1.0],
        price_out=[2.0, 3.0],
    )
    assert body_of(given, BODY) == {"temperature": 0.5, "max_completion_tokens": 9}
    assert endpoint_of(given, given.model, BODY, 1).prices.cost("a", Usage(0, 1_000_000)) == 2.0
    assert endpoint_of(given, given.model, BODY, 1).prices.cost("b", Usage(1_000_000, 1_000_000)) == 4.0


def test_the_estimate_counts_every_stage_of_every_teacher(cards):
    texts = dict.fromkeys(templates.PLACES, "字" * 100)
    pieces = tuple(Piece(str(n), 1) for n in range(10))
    plan = Plan(pieces, ("a", "b"), templates.Templates(texts), cards["kge"], cards["ner"], 1000, {}, {})
    likely, most = estimate(plan, Prices({"a": (1.0, 0.0), "b": (2.0, 0.0)}), 500)
    assert (likely.requests, most.requests) == (80, 240)  # 10 x (article, instruction, 2 x (gold, kge, ner)), x 3
    assert likely.usage == Usage(80 * 100, 10 * (1000 + 200 + 2 * (300 + 500 + 400)))
    assert most.usage == Usage(80 * (3 * 100 + 3 * 500), 240 * 500)
    assert likely.cost == pytest.approx((50 * 100 * 1.0 + 30 * 100 * 2.0) / 1e6)
