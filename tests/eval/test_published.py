"""The papers' printed numbers are recomputed, and what does not add up is found."""

import runpy
from dataclasses import replace
from types import SimpleNamespace

import pandas as pd
import pytest

from etlch.errors import EtlchError
from eval import published

recompute = SimpleNamespace(**runpy.run_path(str(published.FOLDER / "recompute.py")))


@pytest.fixture(scope="module")
def papers():
    return published.load_papers()


def wrong(paper):
    return [check for check in recompute.check(paper) if not check.ok]


def test_all_four_papers_are_there(papers):
    assert set(papers) == {"ETLCH", "InstructIE", "MF-NER", "RA-IT"}


@pytest.mark.parametrize(
    ("baseline", "count", "p"),
    [("Taide-8B", 0, "1.061e-158"), ("Breeze-7B", 202, "1.687e-21"), ("Qwen2.5-7B", 265, "3.389e-04")],
)
def test_etlch_p_values_are_one_sided_fisher_tests_to_four_digits(papers, baseline, count, p):
    assert recompute.recovered_counts(papers["ETLCH"])[baseline] == count
    assert f"{recompute.fisher(288, count, 300):.3e}" == p
    row = next(row for row in papers["ETLCH"].tables["Figure 3, p-values"].rows if row["baseline"] == baseline)
    assert row["valid"] in (count, None)  # Taide's count is printed, in Figure 3


def test_fishers_lady_tasting_tea():
    assert recompute.fisher(3, 1, 4) == pytest.approx(17 / 70)


def test_a_check_of_an_unknown_kind_is_refused(papers):
    with pytest.raises(EtlchError, match=r"ETLCH: check of kind 'guess' \(expected value, mean, f1"):
        recompute.check(replace(papers["ETLCH"], checks=[{"kind": "guess"}]))


def test_the_z_test_the_paper_names_stands_beside_and_differs(papers):
    # statsmodels, proportions_ztest([288, 265], [300, 300]): two-sided 4.749e-4, one-sided half of it
    text = next(c.computed for c in wrong(papers["ETLCH"]) if "Qwen" in c.where)
    assert "2.374e-04 (one-sided), 4.749e-04 (two-sided)" in text


def test_instructie_score_is_the_mean_of_f1_and_rouge_2_in_all_rows(papers):
    checks = [c for c in recompute.check(papers["InstructIE"]) if c.printed.startswith("SCORE")]
    assert len(checks) == 25
    assert all(c.ok for c in checks)


def test_instructie_gain_of_w_nan_does_not_add_up(papers):
    assert [(c.where, c.computed) for c in wrong(papers["InstructIE"])] == [("Table 6, W/ NAN", "3.93")]


def test_ra_it_rows_with_swapped_columns_are_found(papers):
    text = {c.where: c.computed for c in wrong(papers["RA-IT"])}
    assert "Yidu repeats Weibo's 35.44" in text["Table 7, RA-IT 30K"] and "45.38" in text["Table 7, RA-IT 30K"]
    assert "Yidu repeats Weibo's 33.83" in text["Table 7, RA-IT 40K"]
    order = "AI, Literature, Music, Politics, Science, Movie, Restaurant"
    assert order in text["Table 9, Vanilla IT"] and order in text["Table 9, RA-IT 2"]
    assert not any(where.startswith(("Table 2,", "Table 8,")) for where in text)


def test_ra_it_averages_that_do_not_add_up_are_exactly_these(papers):
    found = {
        c.where for c in wrong(papers["RA-IT"]) if c.printed.startswith("average") and "same setting" not in c.computed
    }
    assert found == {
        "Table 1, ChatGPT",
        "Table 6, ChatGPT",
        "Table 9, ChatGPT",
        "Table 7, RA-IT 30K",
        "Table 7, RA-IT 40K",
        "Table 10, RA-IT 0.2 2",
    }


def test_mf_ner_tables_agree_but_two_sentences_do_not(papers):
    assert {c.where for c in wrong(papers["MF-NER"])} == {"section 5.1 on Table 3", "section 5.2 on Table 5"}


def test_every_table_has_the_papers_shape(papers):
    shapes = {
        ("RA-IT", "Table 10"): (12, 11),
        ("RA-IT", "Table 2"): (7, 11),
        ("MF-NER", "Table 7"): (20, 6),
        ("InstructIE", "Table 3"): (12, 5),
    }
    for (paper, name), shape in shapes.items():
        table = papers[paper].tables[name]
        assert (len(table.rows), len(table.columns)) == shape


def test_each_paper_is_told_with_what_is_wrong():
    text = recompute.as_text()
    assert "  ok  " not in text and "  ok  " in recompute.as_text(everything=True)
    assert "1.061e-158" in text and "1.687e-21" in text and "3.389e-04" in text
    for name in ("ETLCH", "InstructIE", "MF-NER", "RA-IT"):
        assert f"{name}: " in text


def test_a_row_of_the_wrong_length_is_named(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text(
        "paper: x\ntitle: x\nauthors: x\ntables:\n  - {id: Table 1, title: t, key: [a], columns: [a, b], rows: [[1]]}\n"
    )
    with pytest.raises(EtlchError, match=r"x\.yaml:5: Table 1: row 1 has 1 values"):
        published.load_paper(path)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("paper: x\n", 1),
        ("[1]", 1),
        ("a: 1\nb: c: d\n", 2),
        ("tables: 3\npaper: x", 1),
        ("paper: x\ntitle: x\nauthors: x\ntables:\n  - id: Table 1\n", 5),
    ],
)
def test_a_broken_file_is_one_clear_error_with_its_line(tmp_path, text, line):
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(EtlchError, match=rf"x\.yaml:{line}: .*expected paper, title"):
        published.load_paper(path)


def test_published_values_stand_beside_systems_of_the_same_scale_or_base_model():
    columns = ["system", "base_model", "scale", "task", "metric", "n", "score", "low", "high"]
    rows = [
        ("gemma_300", "gemma", 300, "json", "json_parse_ok", 300, 0.5, 0.4, 0.6),
        ("qwen", "Qwen/Qwen2.5-7B-Instruct", 0, "json", "json_parse_ok", 300, 0.8, 0.7, 0.9),
        ("gemma_200", "gemma", 200, "json", "json_parse_ok", 300, 0.5, 0.4, 0.6),
        ("gemma_100", "gemma", 100, "json", "json_parse_ok", 0, float("nan"), 0, 0),
    ]
    table = published.beside_measured(pd.DataFrame(rows, columns=columns)).set_index("system")
    assert table.loc["gemma_300", "published"] == pytest.approx(267 / 300)
    assert table.loc["gemma_300", "note"] == "another base model"
    assert table.loc["qwen", "published"] == pytest.approx(265 / 300)
    assert "worked out from the printed p-value" in table.loc["qwen", "note"]
    assert set(table.index) == {"gemma_300", "qwen"}
