"""Values stand where they say, parts of a document are put together once, and records come out whole."""

from etlch.extract.language import mismatch
from etlch.extract.values import Extraction, Value, merged_triples, merged_values, naming, placed
from etlch.formats import Parsed
from etlch.records import Entity, Triple

TEXT = "杜聰明在ＡＢＣ公司。杜聰明走了。"


def test_values_get_the_places_of_their_piece():
    entities = tuple(Entity(name, "人物") for name in ("杜聰明", "杜聰明", "杜聰明", "李白"))
    values, _ = placed(Parsed("ok", entities=entities), TEXT, 100)
    assert [value.span for value in values] == [(100, 103), (110, 113), None, None]


def test_a_value_spelt_otherwise_is_the_text_and_keeps_its_answer():
    (value,), _ = placed(Parsed("ok", fields=(("公司", ("abc公司",)),)), TEXT, 0)
    assert value == Value("公司", "ＡＢＣ公司", (4, 9), (), "abc公司")
    assert value.to_dict() == {"label": "公司", "text": "ＡＢＣ公司", "span": [4, 9], "answer": "abc公司"}


def test_a_value_in_fragments_is_them_and_reaches_over_all():
    (value,), _ = placed(Parsed("ok", entities=(Entity("left arm", "part"),)), "the left and right arm", 5)
    assert (value.span, value.fragments) == ((9, 27), ((9, 13), (24, 27)))
    found = Extraction("d", "t", "12345the left and right arm", values=(value,))
    assert found.record.entities == (Entity("left arm", "part", ((9, 13), (24, 27))),)


def test_ends_of_triples_share_their_place():
    triples = (Triple("杜聰明", "在", "ＡＢＣ公司"), Triple("杜聰明", "認識", "李白"))
    _, (first, second) = placed(Parsed("ok", triples=triples), TEXT, 0)
    assert first.head.span == second.head.span == (0, 3)
    assert (first.tail.span, second.tail.span) == ((4, 9), None)
    kept, ends = merged_triples([first, second, first])
    assert kept == (first, second)
    assert [end.text for end in ends] == ["杜聰明", "ＡＢＣ公司", "李白"]
    found = Extraction("d", "kge", TEXT, triples=kept, values=ends, part="triples").found_only()
    assert found.triples == (first,)
    assert [end.text for end in found.values] == ["杜聰明", "ＡＢＣ公司"]


def test_pieces_are_merged_by_place():
    here, there, nowhere = Value("人物", "甲", (1, 2)), Value("人物", "甲", (7, 8)), Value("人物", "甲")
    lost = Value("人物", "乙")
    assert merged_values([here, here, there, nowhere, lost, lost], once=False) == (here, there, lost)
    assert merged_values([nowhere, here, there, lost], once=True) == (here, lost)


def test_a_record_has_every_key_that_was_asked_for():
    found = Extraction(
        "d", "json", TEXT, part="fields", keys=("人物", "時間"), values=(Value("人物", "杜聰明", (0, 3)),)
    )
    assert found.record.fields == {"人物": ["杜聰明"], "時間": []}


def test_a_text_in_another_script_is_told():
    english = "The blue whale is the largest animal known to have ever existed on Earth."
    assert mismatch(english, "zh-TW").startswith("another language: 0 of 59 letters are in the script of zh-TW")
    assert "are kana" in mismatch("これはペンです。あれはほんです。わたしはがくせいです。", "zh-TW")
    assert mismatch("藍鯨學名為Balaenoptera musculus，屬於鬚鯨科的海洋哺乳動物", "zh-TW") == ""
    assert mismatch("藍鯨是鬚鯨科鬚鯨屬的海洋哺乳動物，體型最大的現生動物。", "en")
    assert mismatch("1 + 1 = 2", "zh") == mismatch(english, "xx") == mismatch(english, "en") == ""


def test_what_names_nothing_is_not_a_value():
    entities = (Entity("杜聰明", "人物"), Entity("，", "人物"), Entity("的", "人物"))
    found = naming(Parsed("ok", entities=entities, fields=(("a", ("。", "x")),), triples=(Triple("甲", "r", "了"),)))
    assert (found.status, found.entities, found.fields, found.triples) == (
        "repaired",
        entities[:1],
        (("a", ("x",)),),
        (),
    )
    assert found.problems == ("left out, for it names nothing: '，', '的', '。', '了'",)
    plain = Parsed("ok", entities=entities[:1])
    assert naming(plain) is plain
