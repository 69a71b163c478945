"""Win rates follow section 7 of the ETLCH paper, and the strict ones count significant wins only."""

import numpy as np
import pandas as pd
import pytest

from etlch.tasks import load_cards
from eval import wins
from eval.stats import comparisons


def win_rates(table):
    return wins.win_rates(table, comparisons(table), load_cards("tasks"))


def scores(task, n=100, **metrics):
    """metric=(baseline mean, tuned mean, noise): the tuned system differs from the baseline by planted amounts."""
    rng = np.random.default_rng(1)
    rows = []
    for metric, (low, high, noise) in metrics.items():
        for system, scale, mean in (("base", 0, low), ("tuned_100", 100, high)):
            values = mean + rng.normal(0, noise, n) if noise else np.where(np.arange(n) < round(mean * n), 1.0, 0.0)
            rows += [(system, "m", scale, task, f"s{i}", metric, v) for i, v in enumerate(values)]
    return pd.DataFrame(rows, columns=["system", "base_model", "scale", "task", "sample", "metric", "value"])


def test_two_of_three_json_metrics_is_the_papers_67_percent():
    table = scores("json", rougeL=(0.5, 0.6, 0.01), cosine=(0.8, 0.7, 0.01), json_parse_ok=(0.5, 0.9, 0))
    row = win_rates(table).iloc[0]
    assert (row["wins"], row["of"], round(row["rate"], 2)) == (2, 3, 0.67)
    assert row["won"] == "rougeL, json_parse_ok"
    assert (row["task"], row["baseline"], row["scale"]) == ("json", "base", 100)


def test_a_higher_mean_is_a_win_but_only_a_significant_one_is_strict():
    table = scores("kge", n=40, rougeL=(0.5, 0.7, 0.01), cosine=(0.5, 0.51, 0.4))
    row = win_rates(table).iloc[0]
    higher = comparisons(table, pairs=[("tuned_100", "base")]).set_index("metric")["difference"] > 0
    assert row["wins"] == higher.sum()
    assert (row["significant_wins"], row["strict_rate"], row["significantly_won"]) == (1, 0.5, "rougeL")


def test_equal_means_are_no_win():
    row = win_rates(scores("ner", rougeL=(0.5, 0.5, 0), cosine=(0.5, 0.6, 0))).iloc[0]
    assert (row["wins"], row["of"]) == (1, 2)


def test_a_metric_that_was_not_computed_leaves_the_denominator_and_is_named():
    row = win_rates(scores("json", rougeL=(0.5, 0.6, 0.01), json_parse_ok=(0.5, 0.9, 0))).iloc[0]
    assert (row["wins"], row["of"], row["rate"]) == (2, 2, 1.0)
    assert "cosine: not computed" in row["note"]


def test_a_baseline_without_the_task_keeps_its_row():
    table = pd.concat([scores("json", rougeL=(0.5, 0.6, 0.01)), scores("kge", rougeL=(0.5, 0.6, 0.01))])
    table = table[~((table["system"] == "base") & (table["task"] == "kge"))]
    row = win_rates(table).set_index("task").loc["kge"]
    assert (row["of"], row["wins"]) == (0, 0) and np.isnan(row["rate"])
    assert "base: no answers for this task" in row["note"]


def test_every_task_baseline_and_scale_has_one_row():
    one = scores("json", rougeL=(0.5, 0.6, 0.01))
    more = one.assign(system=one["system"].replace({"base": "other", "tuned_100": "tuned_300"}))
    more["scale"] = more["scale"].replace({100: 300})
    rows = win_rates(pd.concat([one, more]))
    assert sorted(zip(rows["baseline"], rows["scale"], strict=True)) == [
        ("base", 100),
        ("base", 300),
        ("other", 100),
        ("other", 300),
    ]


def test_the_cards_own_metrics_decide():
    table = scores(
        "json", rougeL=(0.5, 0.6, 0.01), cosine=(0.5, 0.6, 0.01), json_parse_ok=(0.2, 0.9, 0), rouge1=(0.1, 0.2, 0.1)
    )
    row = win_rates(table).iloc[0]
    assert (row["wins"], row["of"]) == (3, 3)
    assert wins.win_rates(table, comparisons(table)).iloc[0]["of"] == 2  # without a card: ROUGE-L and cosine similarity


def test_without_a_tuned_system_there_is_an_empty_table():
    table = scores("json", rougeL=(0.5, 0.6, 0.01))
    table["scale"] = 0
    assert win_rates(table).empty


@pytest.mark.parametrize("seed", [0, 1])
def test_rates_are_between_nothing_and_one(seed):
    import synthetic

    rows = win_rates(synthetic.tidy_table(25, seed=seed))
    assert rows["rate"].between(0, 1).all()
    assert (rows["significant_wins"] <= rows["wins"]).all()
