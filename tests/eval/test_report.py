"""The report says what the tables say, stays small, is the same bytes each time, and lets no answer inject anything."""

import base64
import json
import re
import warnings
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
import synthetic

from etlch.errors import EtlchError
from etlch.tasks import load_cards
from eval import report, samples, verdict

PAYLOAD = "</script><script>window.hacked=1</script><img src=x onerror=alert(1)>{{ script }}"


@pytest.fixture(autouse=True)
def no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def write(out, tidy, **more):
    more = {"summary": None, "samples": synthetic.answers(tidy), "cards": load_cards("tasks")} | more
    return report.write_report(tidy, more.pop("summary"), more.pop("samples"), out, **more)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    out = tmp_path_factory.mktemp("report")
    tidy = synthetic.tidy_table(40)
    summary = synthetic.summary_table(tidy)
    answers = synthetic.answers(tidy, payload=PAYLOAD)
    write(out, tidy, summary=summary, samples=answers, experiment=f"demo {PAYLOAD}")
    return out, tidy


class Page(HTMLParser):
    """Scripts, tags and tables of a page, as a browser would see them."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.scripts, self.cells, self.inside = [], [], [], None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append([dict(attrs), ""])
        self.inside = tag

    def handle_data(self, data):
        if self.inside == "script":
            self.scripts[-1][1] += data
        else:
            self.cells.append(data)

    def handle_endtag(self, tag):
        self.inside = None


def packed(text):
    """task -> its part of the sample browser's data."""
    [data] = re.findall(r'<script type="application/json" id=packed>(.*?)</script>', text)
    return json.loads(data)["tasks"]


def test_all_files_are_written(made):
    out, _ = made
    names = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    assert {"index.html", "report.md", "figures/overview.svg", "figures/figure8_win_rates.png"} <= names
    for name in ("systems", "comparisons", "win_rates", "enough_data", "published"):
        assert f"tables/{name}.csv" in names
    for name in ("scores_json", "scores_kge", "scores_ner", "win_rates", "enough_data"):
        assert f"tables/{name}.tex" in names


def test_the_page_needs_nothing_from_outside(made):
    text = (made[0] / "index.html").read_text(encoding="utf-8")
    for tag, attributes in Page(text).tags:
        for name, value in attributes.items():
            if name in ("src", "href", "xlink:href", "action", "data"):
                assert (value or "").startswith("#"), (tag, name, value)
    assert "@import" not in text and not re.search(r"url\((?!#)", text)


def test_answers_and_names_cannot_inject_anything(made):
    text = (made[0] / "index.html").read_text(encoding="utf-8")
    page = Page(text)
    # the answers and comparisons, the page's own script
    assert [attributes.get("type") for attributes, _ in page.scripts] == ["application/json", None]
    assert not any("onerror" in attributes for _, attributes in page.tags)
    assert "img" not in {tag for tag, _ in page.tags}
    assert "window.hacked" not in page.scripts[-1][1]
    # a placeholder of the template in a name stays text: the script stands in the page once
    assert text.count("const drawDetail") == 1
    policy = next(a["content"] for tag, a in page.tags if tag == "meta" and a.get("http-equiv"))
    assert "default-src 'none'" in policy and "'sha256-" in policy


def test_the_scripts_hash_in_the_policy_is_right(made):
    import hashlib

    text = (made[0] / "index.html").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(Page(text).scripts[-1][1].encode()).digest()).decode()
    assert f"'sha256-{digest}'" in text


def test_the_browsers_data_are_the_answers(made):
    out, tidy = made
    data = packed((out / "index.html").read_text(encoding="utf-8"))
    assert list(data) == ["json", "kge", "ner"]
    expected = {(r["task"], r["sample"], r["system"]): r for r in synthetic.answers(tidy, payload=PAYLOAD)}
    seen = 0
    for task, content in data.items():
        assert len(content["samples"]) == 40
        for sample, question, text, gold, items, answers in content["samples"]:
            for system, (scores, *answer) in zip(content["systems"], answers, strict=True):
                row = expected[task, sample, system]
                assert (text, gold, items) == (row["source_text"], row["gold_answer"], row["gold"])
                assert answer[:2] == [row["answer"], row["parsed"]]
                assert answer[2] == [value for _, value in row["hallucinated"]]
                assert answer[3] == row["scores"]["readable"]
                shown = dict(zip(content["metrics"], scores, strict=True))
                assert shown["rougeL"] == round(row["scores"]["rougeL"], 3)
                assert text not in content["questions"][question]
                seen += 1
    assert seen == len(expected)


def test_unreadable_answers_stand_in_every_scores_table(made):
    out, tidy = made
    text = (out / "report.md").read_text(encoding="utf-8")
    assert text.count("| No answer | Unreadable |") == 3
    count = tidy[(tidy["metric"] == "readable") & (tidy["task"] == "kge") & (tidy["system"] == "gemma_100")]
    unreadable = int((count["value"] == 0).sum())
    row = next(line for line in text.split("### KGE")[1].splitlines() if line.startswith("| gemma\\_100 "))
    assert [cell.strip() for cell in row.split("|")][3:7] == ["40", "40", "0", str(unreadable)]


def test_the_same_input_gives_the_same_bytes(made, tmp_path):
    out, tidy = made
    shuffled = tidy.sample(frac=1, random_state=2)
    summary = synthetic.summary_table(tidy)
    answers = synthetic.answers(tidy, payload=PAYLOAD)
    write(tmp_path, shuffled, summary=summary, samples=answers, experiment=f"demo {PAYLOAD}")
    for path in sorted(out.rglob("*")):
        if path.is_file():
            assert (tmp_path / path.relative_to(out)).read_bytes() == path.read_bytes(), path.name


def test_csv_tables_keep_every_comparison(made):
    table = pd.read_csv(made[0] / "tables" / "comparisons.csv")
    assert table.groupby(["task", "metric"]).size().eq(28).all()


def test_latex_tables_are_balanced_and_escaped(made):
    for path in (made[0] / "tables").glob("*.tex"):
        text = path.read_text(encoding="utf-8")
        body = re.sub(r"\\[{}_%&#$]", "", text)
        assert body.count("{") == body.count("}")
        assert r"\toprule" in text and "gemma_1000" not in text
        columns = re.search(r"\\begin\{tabular\}\{(\w+)\}", text)[1]
        rows = [line for line in body.splitlines() if line.endswith(r"\\")]
        assert rows and all(row.count(" & ") == len(columns) - 1 for row in rows), path.name


def test_published_values_stand_beside_measured_ones(made):
    text = (made[0] / "index.html").read_text(encoding="utf-8")
    section = text[text.index("id=published") :]
    assert "ETLCH-300" in section and "another base model" in section
    assert "89.0" in section


# -- verdict ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def findings():
    return verdict.find(synthetic.tidy_table(120))


def test_the_verdict_names_the_best_system_how_sure_and_how_much_data(findings):
    parts = dict(verdict.verdict(findings))
    assert any("best Field F1" in line for line in parts["In short"])
    text = "\n".join(parts["KGE"])
    assert re.search(r"Best: gemma_(500|1000), Triple F1 \d+\.\d% \(\d+\.\d to \d+\.\d\) on 120 samples\.", text)
    assert re.search(r"Ahead of gemma_untuned \(before tuning\): \+\d+\.\d points \(\+\d+\.\d to \+\d+\.\d\), p", text)
    assert re.search(r"Not decided against gemma_\d+ \(next best\).*about [\d,]+ samples would settle it", text)
    assert "Enough training samples for gemma" in text


def test_compare_prints_a_verdict_for_two_systems():
    text = verdict.compare(synthetic.tidy_table(80), "gemma_1000", "gemma_untuned")
    assert "JSON: gemma_1000 is better" in text and "Holm over" in text
    assert text == verdict.compare(synthetic.tidy_table(80), "gemma_1000", "gemma_untuned")
    swapped = verdict.compare(synthetic.tidy_table(80), "gemma_untuned", "gemma_1000")
    assert "JSON: gemma_1000 is better" in swapped


def test_compare_refuses_unknown_systems_and_itself():
    tidy = synthetic.tidy_table(3)
    with pytest.raises(EtlchError, match=r"no system 'gpt'.*gemma_100"):
        verdict.compare(tidy, "gpt", "gemma_100")
    with pytest.raises(EtlchError, match="two different systems"):
        verdict.compare(tidy, "gemma_100", "gemma_100")
    with pytest.raises(EtlchError, match="no scores"):
        verdict.compare(tidy.iloc[:0], "a", "b")


def test_compare_says_where_a_system_lacks_a_task():
    tidy = synthetic.tidy_table(10)
    tidy = tidy[~((tidy["system"] == "gemma_100") & (tidy["task"] == "kge"))]
    text = verdict.compare(tidy, "gemma_1000", "gemma_100")
    assert "gemma_100: no answers for this task" in text and "KGE: nothing to compare." in text


def systems(largest, floor=0.3, untuned=0.02):
    return (
        ("skeleton", "", 0, 0.0),
        ("dictionary", "", 0, floor),
        ("gemma_untuned", "gemma", 0, untuned),
        ("gemma_100", "gemma", 100, largest - 0.01),
        ("gemma_300", "gemma", 300, largest),
    )


def first_line(out, table, **more):
    write(out, table, samples=[], **more)
    text = (out / "report.md").read_text(encoding="utf-8").replace("\\", "")
    return next(line for line in text.splitlines() if line.startswith("- "))


@pytest.mark.parametrize(
    ("largest", "told"),
    [
        (
            0.10,
            r"- No model beats dictionary yet on JSON .*: gemma_300 \(Field F1 \d+\.\d%\) would have to gain \d+\.\d points on",
        ),
        (
            0.335,
            r"- No model beats dictionary yet on JSON .*leads dictionary by \d\.\d points, not surely by 2\.0; about \d+",
        ),
        (
            0.70,
            r"- Enough training samples for gemma \(.*; there ahead of dictionary and gemma_untuned by more than that\): JSON",
        ),
    ],
)
def test_the_first_line_says_whether_data_are_enough_or_what_it_would_take(without_figures, tmp_path, largest, told):
    assert re.match(told, first_line(tmp_path, synthetic.tidy_table(300, systems(largest))))
    table = pd.read_csv(tmp_path / "tables" / "enough_data.csv")
    table = table[table["task"] == "json"]
    assert table["enough"].any() == (largest == 0.7)
    if largest < 0.7:
        assert table["note"].str.contains("dictionary").all()


def test_an_untuned_model_that_is_as_good_makes_data_worth_nothing(without_figures, tmp_path):
    line = first_line(tmp_path, synthetic.tidy_table(300, systems(0.6, untuned=0.6)))
    assert re.match(r"- No model beats gemma_untuned yet on JSON .*: gemma_300 .* would have to gain", line)


def test_another_model_that_beats_the_floor_is_not_denied(without_figures, tmp_path):
    table = synthetic.tidy_table(300, (*systems(0.2), ("qwen", "qwen", 0, 0.8)))
    assert first_line(tmp_path, table).startswith("- Not enough yet on JSON")


def test_without_floor_and_untuned_model_nothing_is_enough(without_figures, tmp_path):
    line = first_line(tmp_path, synthetic.tidy_table(100, systems(0.6)[3:]))
    assert line.endswith("has no floor and no untuned model beside it to beat.")


def test_clusters_stand_beside_samples_and_few_are_said(without_figures, tmp_path):
    table = synthetic.tidy_table(120, topics=12)
    write(tmp_path, table, samples=[])
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "on 120 samples in 12 clusters." in text
    assert "fewer than 20 make wide intervals and coarse tests): JSON 擷取 12 of 120 samples, KGE" in text
    assert re.search(r"\| gemma\\_100 \| 100 \| 120 \| 12 \|", text)
    assert set(pd.read_csv(tmp_path / "tables" / "comparisons.csv")["clusters"]) == {12}
    told = verdict.compare(table, "gemma_1000", "gemma_untuned")
    assert "12 clusters, fewer than 20" in told and re.search(r"Field F1 .*  120 +12 ", told)
    assert "≤" in told
    many = verdict.compare(synthetic.tidy_table(120, topics=30), "gemma_1000", "gemma_untuned")
    assert "fewer than" not in many and re.search(r"Field F1 .*  120 +30 ", many)


def test_intervals_are_wider_where_topics_differ():
    table = synthetic.tidy_table(240, topics=24)
    widths = []
    for part in (table, table.drop(columns="source")):
        found = verdict.find(part).score("ner", "entity_f1", "gemma_300")
        widths.append(found.high - found.low)
    assert widths[0] > 1.8 * widths[1]


def without_labels(table):
    """The same scores, and those without labels: of each sample half of what is missing or wrong is only its label."""
    parts = [table]
    for whole, bare in (("entity", "entity_surface"), ("triple", "pair")):
        part = table[table["metric"].isin([f"{whole}_{count}" for count in ("tp", "pred", "gold", "f1")])]
        part = part.assign(metric=part["metric"].str.replace(whole, bare))
        more = part["metric"].isin([f"{bare}_tp", f"{bare}_f1"])
        parts.append(part.assign(value=part["value"].where(~more, part["value"] * 1.2)))
    return pd.concat(parts, ignore_index=True)


def test_systems_are_ranked_by_what_the_prompt_asks_with_typed_f1_beside(without_figures, tmp_path):
    table = without_labels(synthetic.tidy_table(40))
    write(tmp_path, table, samples=[])
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert all(re.search(f"has the best .*{name} F1", text) for name in ("Field", "Head-tail", "Surface"))
    assert "| Head-tail F1 | Triple F1 |" in text and "| Surface F1 | Entity F1 |" in text
    assert "Systems are ranked by Surface F1." in text and "Primary metric" in text
    rows = pd.read_csv(tmp_path / "tables" / "win_rates.csv").set_index("task")
    assert rows.groupby("task")["primary"].first().to_dict() == {
        "json": "field_f1",
        "kge": "pair_f1",
        "ner": "entity_surface_f1",
    }
    found = verdict.find(table, cards=load_cards("tasks"))
    row, sign = found.pair("kge", "pair_f1", "gemma_1000", "dictionary")
    one = rows[(rows["system"] == "gemma_1000") & (rows["baseline"] == "dictionary")].loc["kge"]
    assert one["primary_difference"] == pytest.approx(sign * row.difference)
    # without a card nothing says what was asked
    assert verdict.find(table).primary("ner") == "entity_f1"


def test_floors_that_learn_are_floors_at_every_scale(without_figures, tmp_path):
    learning = [
        (f"{name}_{scale}", "", scale, skill)
        for name, skill in (("dictionary", 0.3), ("crf", 0.5))
        for scale in (100, 300)
    ]
    line = first_line(tmp_path, synthetic.tidy_table(200, (*systems(0.4)[2:], *learning)))
    assert line.startswith("- No model beats crf_") and "gemma_300" in line
    rates = pd.read_csv(tmp_path / "tables" / "win_rates.csv")
    assert set(rates["system"]) == {"gemma_100", "gemma_300"} and "crf_300" in set(rates["baseline"])
    assert set(pd.read_csv(tmp_path / "tables" / "enough_data.csv")["ladder"]) == {"gemma"}


# -- odd input ----------------------------------------------------------------------------------------------------


@pytest.fixture
def without_figures(monkeypatch):
    """Figures take most of the time and have tests of their own."""
    monkeypatch.setattr(report, "write_figures", lambda *args: [])


def test_no_scores_are_one_clear_error(without_figures, tmp_path):
    with pytest.raises(EtlchError, match="no scores"):
        write(tmp_path, synthetic.tidy_table(2).iloc[:0], samples=[])


def test_duplicate_run_names_are_one_clear_error(without_figures, tmp_path):
    tidy = synthetic.tidy_table(2)
    with pytest.raises(EtlchError, match="two runs under one name"):
        write(tmp_path, pd.concat([tidy, tidy]), samples=[])


@pytest.mark.parametrize("value", [0.0, 1.0, np.nan])
def test_all_equal_or_missing_scores_give_a_report(without_figures, tmp_path, value):
    tidy = synthetic.tidy_table(5)
    tidy["value"] = value
    text = write(tmp_path, tidy, samples=[]).read_text(encoding="utf-8")
    told = {0.0: "No system gets anything right", 1.0: "Not decided", np.nan: "No scores."}[value]
    assert told in text
    assert ("has the best" in text) == (value == 1.0)  # nothing right is nobody's best


def test_one_sample_gives_a_report_without_intervals(without_figures, tmp_path):
    text = write(tmp_path, synthetic.tidy_table(1)).read_text(encoding="utf-8")
    assert "one sample: no interval, no test" in text


def test_one_system_gives_a_report(without_figures, tmp_path):
    text = write(tmp_path, synthetic.tidy_table(5, synthetic.SYSTEMS[6:7])).read_text(encoding="utf-8")
    assert "Only one system: nothing to compare." in text


def test_different_test_sets_and_a_missing_task_are_said_on_top(without_figures, tmp_path):
    tidy = synthetic.tidy_table(8)
    tidy = tidy[~((tidy["system"] == "gemma_100") & (tidy["task"] == "kge"))]
    tidy = tidy[~((tidy["system"] == "gemma_300") & (tidy["sample"] == "json-0003"))]
    text = write(tmp_path, tidy, samples=[]).read_text(encoding="utf-8")
    top = text[: text.index("id=scores")]
    assert "gemma_100 has no answers for KGE" in top
    assert "7 common samples of 7 and 8" in top or "7 common samples of 8 and 7" in top


def test_names_that_are_markup_stay_text(without_figures, tmp_path):
    systems = (("a|b_{x}<i>&", "base<b>", 100, 0.5), ("plain", "", 0, 0.2))
    tidy = synthetic.tidy_table(6, systems)
    path = write(tmp_path, tidy)
    assert "<i>" not in path.read_text(encoding="utf-8")
    assert r"a\|b\_{x}\<i\>&" in (tmp_path / "report.md").read_text(encoding="utf-8")
    assert r"a|b\_\{x\}$<$i$>$\&" in (tmp_path / "tables" / "scores_json.tex").read_text(encoding="utf-8")


def test_huge_broken_and_foreign_answers_are_cut_and_said(without_figures, tmp_path):
    tidy = synthetic.tidy_table(4)
    odd = ["x" * 1_000_000, "\x00" * 50, "مرحبا", "[" * 5000, "\u202eevil", "甲\ud800"]
    odd_ones = [row | {"answer": odd[i % len(odd)]} for i, row in enumerate(synthetic.answers(tidy))]
    text = write(tmp_path, tidy, samples=odd_ones).read_text(encoding="utf-8")
    assert len(text) < 3_000_000
    answers = [a[1] for content in packed(text).values() for sample in content["samples"] for a in sample[5]]
    assert any(answer.endswith("994,000 more characters cut]") for answer in answers)
    assert "مرحبا" in answers and "\x00" * 50 in answers and "甲?" in answers


def test_answers_that_take_too_many_bytes_are_thinned_evenly_and_said(without_figures, tmp_path):
    tidy = synthetic.tidy_table(417)
    # three bytes a character
    long = (row | {"answer": "國" * 700} for row in synthetic.answers(tidy, chars=1200))
    path = write(tmp_path, tidy, samples=long)
    assert path.stat().st_size < 14_000_000
    text = path.read_text(encoding="utf-8")
    shown = [[name for name, *_ in content["samples"]] for content in packed(text).values()]
    assert shown == [[f"{task}-{number:04d}" for number in range(0, 417, 3)] for task in ("json", "kge", "ner")]
    assert f"{3 * 139 * 8:,} of 10,008 answers, evenly spread over the test set" in text


def test_more_answers_than_fit_are_thinned_evenly_and_said(without_figures, tmp_path, monkeypatch):
    monkeypatch.setattr(samples, "MOST_ANSWERS", 100)
    assert [samples.every_how_many(n) for n in (0, 100, 101, 480)] == [1, 1, 2, 5]
    tidy = synthetic.tidy_table(20)
    kept = [row for row in synthetic.answers(tidy) if int(row["sample"][-4:]) % 5 == 0]
    text = write(tmp_path, tidy, samples=kept).read_text(encoding="utf-8")
    assert "96 of 480 answers, evenly spread over the test set" in text
    assert [[name for name, *_ in content["samples"]] for content in packed(text).values()] == [
        [f"{task}-{number:04d}" for number in (0, 5, 10, 15)] for task in ("json", "kge", "ner")
    ]


def test_a_folder_that_cannot_be_written_is_one_clear_error(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(EtlchError, match="cannot be written"):
        write(tmp_path / "file", synthetic.tidy_table(3))


def test_systems_of_one_base_model_and_scale_are_lines_of_one_table(without_figures, tmp_path):
    """Seeds, recipes and `+schema` beside each other: every pair is compared by name, every ladder has its own verdict."""
    more = (("gemma_300+schema", "gemma", 300, 0.7), ("gemma_100_seed2", "gemma", 100, 0.5), ("own", "gemma", 300, 0.4))
    tidy = synthetic.tidy_table(30, (*synthetic.SYSTEMS, *more))
    write(tmp_path, tidy)
    tables = {
        name: pd.read_csv(tmp_path / "tables" / f"{name}.csv") for name in ("comparisons", "systems", "enough_data")
    }
    pairs = set(zip(tables["comparisons"]["a"], tables["comparisons"]["b"], strict=True))
    assert {("gemma_300+schema", "gemma_300"), ("own", "gemma_300+schema")} <= pairs
    assert {"gemma_300", "gemma_300+schema", "own"} <= set(tables["systems"]["system"])
    assert set(tables["enough_data"]["ladder"]) == {"gemma_N"}
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    lines = re.findall(r"^- (\S+) wins \d+ of 14 metrics against untuned systems", text, re.MULTILINE)
    assert [line.replace("\\", "") for line in lines] == ["gemma_1000", "gemma_100_seed2", "gemma_300+schema", "own"]
    assert "Enough training samples for gemma\\_N" in text


def test_columns_that_say_one_thing_of_each_system_are_kept(without_figures, tmp_path):
    tidy = synthetic.tidy_table(5)
    tidy.insert(0, "draw", tidy["scale"].astype(str) + "th")
    tidy.insert(3, "source", tidy["sample"].str[-1])
    write(tmp_path, tidy, samples=[])
    table = pd.read_csv(tmp_path / "tables" / "systems.csv")
    assert (table["draw"] == table["scale"].astype(str) + "th").all() and "source" not in table
