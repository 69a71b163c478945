"""Figures show the table's numbers, are the same bytes each time, and never draw a character without a glyph."""

import re
import warnings

import pytest
import synthetic

from etlch.tasks import load_cards
from eval import figures, stats
from eval.verdict import find

NAMES = [
    "overview",
    "figure1_rougel",
    "figure2_cosine",
    "figure3_valid_json",
    "figure4_json",
    "figure5_valid_json_by_scale",
    "figure6_kge",
    "figure7_ner",
    "figure8_win_rates",
]


def words(path):
    """The texts of an SVG; matplotlib leaves each in a comment beside its outlines."""
    return re.findall(r"<!-- (.*?) -->", path.read_text(encoding="utf-8"))


@pytest.fixture(autouse=True)
def no_warnings():
    """A missing glyph, a crowded layout or a division by zero would be a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def write(tidy, out):
    return figures.write_figures(find(tidy, cards=load_cards("tasks")), out)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    tidy = synthetic.tidy_table(60)
    out = tmp_path_factory.mktemp("figures")
    return tidy, out, write(tidy, out)


def test_all_figures_of_the_paper_and_the_overview_are_there(drawn):
    _, out, made = drawn
    assert [figure.name for figure in made] == NAMES
    for name in NAMES:
        assert (out / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert (out / f"{name}.svg").read_text(encoding="utf-8").lstrip().startswith("<?xml")


def test_bars_carry_the_measured_scores(drawn):
    tidy, out, _ = drawn
    shown = words(out / "figure1_rougel.svg")
    scores = stats.intervals(tidy)
    scores = scores[scores["metric"] == "rougeL"]
    assert len(scores) == 24
    for row in scores.itertuples():
        assert f"{100 * row.score:.1f}" in shown
    assert "KGE 知識圖譜建構" in shown


def test_win_rates_are_written_in_their_cells(drawn):
    shown = words(drawn[1] / "figure8_win_rates.svg")
    assert sum(bool(re.fullmatch(r"\d/[23]", word)) for word in shown) == 3 * 4 * 4


def test_sizes_are_those_of_a_papers_columns(drawn):
    for name, inches in (("figure4_json", 3.5), ("figure1_rougel", 7.16), ("overview", 7.16)):
        width = re.search(r'width="([\d.]+)pt"', (drawn[1] / f"{name}.svg").read_text(encoding="utf-8"))[1]
        assert float(width) / 72 == pytest.approx(inches, abs=0.01)


def test_the_same_scores_give_the_same_bytes_without_a_date(drawn, tmp_path):
    tidy, out, _ = drawn
    write(tidy.sample(frac=1, random_state=1), tmp_path)
    for name in NAMES:
        for ending in ("svg", "png"):
            assert (tmp_path / f"{name}.{ending}").read_bytes() == (out / f"{name}.{ending}").read_bytes(), name
        assert "dc:date" not in (out / f"{name}.svg").read_text(encoding="utf-8")


def test_colours_are_okabe_and_itos(drawn):
    text = "".join((drawn[1] / f"{name}.svg").read_text(encoding="utf-8") for name in NAMES if "8" not in name)
    found = {c.lower() for c in re.findall(r"#[0-9a-fA-F]{6}", text)}
    okabe_ito = {"#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9"}
    assert found <= okabe_ito | {"#222222", "#cfcfcf", "#ffffff", "#9a9a9a"}
    assert len(found & okabe_ito) >= 4


# -- fonts --------------------------------------------------------------------------------------------------------

TEXT = "JSON 擷取 知識圖譜建構 命名實體辨識 三元組－關係"


def test_the_packaged_font_draws_the_tasks_titles(drawn):
    assert figures.fonts() == ["DejaVu Sans", "IPAexGothic"]
    assert figures.label(TEXT, 99) == TEXT
    assert "IPAexGothic" in (drawn[1] / "overview.svg").read_text(encoding="utf-8")


def test_without_a_font_characters_become_code_points(tmp_path, monkeypatch):
    monkeypatch.setattr(figures, "fonts", lambda: ["DejaVu Sans"])
    write(synthetic.tidy_table(12), tmp_path)
    assert any("[U+64F7]" in word for word in words(tmp_path / "figure1_rougel.svg"))


def test_a_character_no_font_has_is_not_drawn_as_a_box(tmp_path):
    systems = (("model_\U000f1234", "m", 100, 0.5), ("b", "", 0, 0.2))
    write(synthetic.tidy_table(5, systems), tmp_path)
    # not printable, so it is shown as a blank; a printable one without glyph would be its code point
    assert "\U000f1234" not in (tmp_path / "figure1_rougel.svg").read_text(encoding="utf-8")


# -- odd input ----------------------------------------------------------------------------------------------------


def test_a_metric_that_was_not_computed_is_said_and_no_old_figure_stays(tmp_path):
    write(synthetic.tidy_table(6), tmp_path)
    made = write(synthetic.tidy_table(6, cosine=False), tmp_path)
    cosine = next(figure for figure in made if figure.name == "figure2_cosine")
    assert cosine.svg is None and cosine.missing == "Cosine similarity was not computed"
    assert not list(tmp_path.glob("figure2*"))


@pytest.mark.parametrize("count", [1, 2])
def test_one_sample_or_two_can_be_drawn(tmp_path, count):
    made = write(synthetic.tidy_table(count), tmp_path)
    assert all(figure.svg for figure in made)


def test_without_tuned_systems_the_curves_are_left_out_with_a_reason(tmp_path):
    made = write(synthetic.tidy_table(6, synthetic.SYSTEMS[:4]), tmp_path)
    reasons = {figure.name: figure.missing for figure in made}
    assert reasons["overview"] == "no tuned system, or too many of one scale"
    assert "no tuned system" in reasons["figure8_win_rates"] and reasons["figure1_rougel"] == ""


def test_a_system_without_a_task_is_marked(tmp_path):
    tidy = synthetic.tidy_table(6)
    tidy = tidy[~((tidy["system"] == "gemma_100") & (tidy["task"] == "kge"))]
    write(tidy, tmp_path)
    assert words(tmp_path / "figure1_rougel.svg").count("no scores") == 1


def test_two_base_models_and_names_that_are_markup_can_be_drawn(tmp_path):
    systems = (
        ("a_untuned", "meta-llama/Llama-3.2-1B-Instruct", 0, 0.1),
        ("a_100", "meta-llama/Llama-3.2-1B-Instruct", 100, 0.4),
        ("a_300", "meta-llama/Llama-3.2-1B-Instruct", 300, 0.6),
        ("$x^2$ --><script>alert(1)</script>", "gemma", 100, 0.5),
        ("b_300 " + "long " * 20, "gemma", 300, 0.6),
    )
    made = write(synthetic.tidy_table(6, systems), tmp_path)
    assert all(figure.svg for figure in made)
    for figure in made:
        assert "<script" not in figure.svg.read_text(encoding="utf-8")


def test_all_zero_scores_can_be_drawn(tmp_path):
    tidy = synthetic.tidy_table(6)
    tidy["value"] = 0.0
    made = write(tidy, tmp_path)
    assert all(figure.svg for figure in made)


def test_systems_of_one_base_model_and_scale_are_lines_and_panels_of_their_own(tmp_path):
    more = (("gemma_300+schema", "gemma", 300, 0.7), *((f"gemma_100_seed{n}", "gemma", 100, 0.5) for n in range(4)))
    made = write(synthetic.tidy_table(6, (*synthetic.SYSTEMS, *more)), tmp_path)
    assert all(figure.svg for figure in made)
    titles = {"gemma_N", "gemma_300+schema", *(f"gemma_100_seed{n}" for n in range(4))}
    assert titles <= set(words(tmp_path / "overview.svg")) and titles <= set(words(tmp_path / "figure6_kge.svg"))
    assert "gemma_300+schema" in words(tmp_path / "figure8_win_rates.svg")


def test_floors_that_learn_are_curves_of_the_overview(tmp_path):
    learning = [(f"crf_{scale}", "", scale, 0.3 + scale / 2000) for scale in (100, 300)]
    made = write(synthetic.tidy_table(6, (*synthetic.SYSTEMS, *learning)), tmp_path)
    assert all(figure.svg for figure in made) and "crf_N" in words(tmp_path / "overview.svg")
    # they stand among the floors, and no panel is theirs
    assert "crf_N" not in words(tmp_path / "figure7_ner.svg")
    assert words(tmp_path / "figure1_rougel.svg").index("dictionary") < words(tmp_path / "figure1_rougel.svg").index(
        "crf_100"
    )


def test_a_second_untuned_system_is_a_line_of_the_overview(tmp_path):
    write(synthetic.tidy_table(6, (*synthetic.SYSTEMS, ("gemma_untuned+schema", "gemma", 0, 0.1))), tmp_path)
    shown = words(tmp_path / "overview.svg")
    assert "gemma_untuned+schema" in shown and "gemma_untuned" not in shown


def test_many_systems_of_one_scale_are_bars_but_no_curves(tmp_path):
    seeds = [(f"gemma_300_seed{n}", "gemma", 300, 0.5 + n / 100) for n in range(9)]
    made = {figure.name: figure.missing for figure in write(synthetic.tidy_table(6, seeds), tmp_path)}
    assert "too many of one scale" in made["overview"] and "too many of one scale" in made["figure7_ner"]
    assert {name for name, _, _, _ in seeds} <= set(words(tmp_path / "figure1_rougel.svg"))
    made = {
        figure.name: figure.missing for figure in write(synthetic.tidy_table(6, (*synthetic.SYSTEMS, *seeds)), tmp_path)
    }
    assert not any(made.values()) and "gemma_N" in words(tmp_path / "overview.svg")
