"""Statistics agree with scipy and statsmodels, with hand-worked cases, and say what they could not compute."""

import time
import warnings

import numpy as np
import pandas as pd
import pytest
import synthetic
from scipy import stats as scipy_stats
from statsmodels.stats import contingency_tables, power, proportion
from statsmodels.stats.multitest import multipletests

from etlch.errors import EtlchError
from eval import stats
from eval.tables import p_text


def tidy(task="json", base="gemma", scales=None, **columns):
    """Columns `system__metric` of per-sample values -> a tidy table."""
    rows = []
    for name, values in columns.items():
        system, metric = name.split("__")
        for number, value in enumerate(values):
            if value is not None:
                scale = (scales or {}).get(system, 0)
                rows.append((system, base, scale, task, f"s{number:03d}", metric, value))
    return pd.DataFrame(rows, columns=["system", "base_model", "scale", "task", "sample", "metric", "value"])


@pytest.fixture(scope="module")
def pair():
    rng = np.random.default_rng(5)
    a = rng.beta(4, 2, 60)
    return a, np.clip(a - rng.gamma(1, 0.05, 60) + 0.03, 0, 1)


def widened(clusters):
    """The normal level at which an interval is as wide as Student's t at 95%, its variance divided by clusters - 1."""
    half = scipy_stats.t.ppf(0.975, clusters - 1) * (clusters / (clusters - 1)) ** 0.5
    return 2 * scipy_stats.norm.cdf(half) - 1


def one_row(table, **where):
    for column, value in where.items():
        table = table[table[column] == value]
    assert len(table) == 1
    return table.iloc[0]


def test_interval_of_a_mean_difference_is_scipys_bca_bootstrap(pair):
    a, b = pair
    row = stats.comparisons(tidy(a__rougeL=a, b__rougeL=b), pairs=[("a", "b")], seed=3).iloc[0]
    expected = scipy_stats.bootstrap(
        (a, b),
        lambda x, y, axis: np.mean(x - y, axis=axis),
        paired=True,
        vectorized=True,
        method="BCa",
        n_resamples=stats.RESAMPLES,
        confidence_level=widened(60),
        rng=np.random.default_rng(3),
    ).confidence_interval
    assert row["difference"] == pytest.approx((a - b).mean())
    assert (row["low"], row["high"]) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_interval_of_a_micro_f1_difference_is_scipys_bca_bootstrap():
    rng = np.random.default_rng(8)
    gold = rng.integers(1, 9, 50)
    tp = [rng.binomial(gold, p) for p in (0.8, 0.6)]
    answered = [t + rng.poisson(1, 50) for t in tp]

    def difference(ta, pa, tb, pb, g, axis):
        sums = [x.sum(axis=axis) for x in (ta, pa, tb, pb, g)]
        return 2 * sums[0] / (sums[1] + sums[4]) - 2 * sums[2] / (sums[3] + sums[4])

    columns = {}
    for name, t, p in zip("ab", tp, answered, strict=True):
        columns |= {f"{name}__entity_tp": t, f"{name}__entity_pred": p, f"{name}__entity_gold": gold}
        columns[f"{name}__entity_f1"] = 2 * t / (p + gold)
    table = stats.comparisons(tidy("ner", **columns), pairs=[("a", "b")], seed=1)
    row = one_row(table, metric="entity_f1")
    expected = scipy_stats.bootstrap(
        (tp[0], answered[0], tp[1], answered[1], gold),
        difference,
        paired=True,
        vectorized=True,
        method="BCa",
        n_resamples=stats.RESAMPLES,
        confidence_level=widened(50),
        rng=np.random.default_rng(1),
    )
    interval = expected.confidence_interval
    assert (row["low"], row["high"]) == pytest.approx((interval.low, interval.high), abs=1e-9)
    macro = one_row(table, metric="entity_f1_macro")
    assert macro["difference"] == pytest.approx(np.mean(columns["a__entity_f1"] - columns["b__entity_f1"]))


def test_permutation_test_of_few_samples_is_scipys_exact_one():
    rng = np.random.default_rng(2)
    a, b = rng.normal(0.3, 1, 11), rng.normal(0, 1, 11)
    row = stats.comparisons(tidy(a__rougeL=a, b__rougeL=b), pairs=[("a", "b")]).iloc[0]
    expected = scipy_stats.permutation_test(
        (a, b), lambda x, y: np.mean(x) - np.mean(y), permutation_type="samples", n_resamples=np.inf
    )
    assert row["p"] == pytest.approx(expected.pvalue)


def test_permutation_test_of_many_samples_is_near_the_paired_t_test(pair):
    a, b = pair[0], pair[0] - np.random.default_rng(1).normal(0.02, 0.08, 60)
    row = stats.comparisons(tidy(a__rougeL=a, b__rougeL=b), pairs=[("a", "b")]).iloc[0]
    assert row["p"] == pytest.approx(scipy_stats.ttest_rel(a, b).pvalue, abs=0.02)


def test_binary_tests_are_those_of_statsmodels_and_scipy():
    rng = np.random.default_rng(4)
    a, b = (rng.random(80) < 0.8).astype(float), (rng.random(80) < 0.6).astype(float)
    row = stats.comparisons(tidy(a__json_parse_ok=a, b__json_parse_ok=b), pairs=[("a", "b")]).iloc[0]
    table = [[int(((a == i) & (b == j)).sum()) for j in (1, 0)] for i in (1, 0)]
    assert row["p"] == pytest.approx(contingency_tables.mcnemar(table, exact=True).pvalue)
    counts = [[a.sum(), 80 - a.sum()], [b.sum(), 80 - b.sum()]]
    assert row["p_fisher"] == pytest.approx(scipy_stats.fisher_exact(counts)[1])


def test_mcnemar_by_hand():
    # 1 against 5 discordant: 2 * (C(6,0) + C(6,1)) / 64
    assert stats.mcnemar_exact(1, 5) == pytest.approx(14 / 64)
    assert stats.mcnemar_exact(0, 0) == 1.0


def test_holm_is_that_of_statsmodels_and_skips_what_was_not_tested():
    p = np.array([0.01, 0.04, 0.03, 0.005, 0.2])
    assert stats.holm(p) == pytest.approx(multipletests(p, method="holm")[1])
    adjusted = stats.holm([0.02, np.nan, 0.04])
    assert adjusted[[0, 2]] == pytest.approx([0.04, 0.04])
    assert np.isnan(adjusted[1])
    assert stats.holm([]).size == 0


def test_family_is_named_and_corrected_over_all_pairs():
    table = stats.comparisons(synthetic.tidy_table(40))
    part = table[table["family"] == "json, rougeL"]
    assert set(part["family_size"]) == {28}
    assert part["p_holm"].to_numpy() == pytest.approx(multipletests(part["p"], method="holm")[1])
    assert set(table["family"]) == {f"{t}, {m}" for t, m in zip(table["task"], table["metric"], strict=True)}


def test_samples_needed_is_statsmodels_power_analysis():
    wanted = power.normal_sample_size_one_tail(0.03, 0.8, 0.025, std_null=0.2)
    assert stats.samples_needed(0.03, 0.2, alpha=0.05, power=0.8) == np.ceil(wanted)
    assert stats.samples_needed(0.0, 0.2) == float("inf")


def test_samples_needed_are_given_for_undecided_comparisons_only():
    table = stats.comparisons(synthetic.tidy_table(60))
    undecided = table["verdict"] == "undecided"
    moved = table["difference"].abs() > 1e-12
    assert table.loc[~undecided, "samples_needed"].isna().all()
    needed = table.loc[undecided & moved, "samples_needed"]
    assert len(needed) and (needed > 60).all()


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    rng = np.random.default_rng(0)
    hits = 0
    for trial in range(200):
        scores = rng.beta(2, 5, 40)
        row = stats.intervals(tidy(a__rougeL=scores), resamples=999, seed=trial).iloc[0]
        hits += row["low"] <= 2 / 7 <= row["high"]
    assert 0.90 <= hits / 200 <= 0.985


def test_all_or_none_of_n_gets_the_exact_interval():
    table = stats.intervals(tidy(a__json_parse_ok=[1.0] * 300, b__json_parse_ok=[0.0] * 300)).set_index("system")
    for name, count in (("a", 300), ("b", 0)):
        low, high = proportion.proportion_confint(count, 300, method="beta")
        assert table.loc[name, ["low", "high"]].tolist() == pytest.approx([low, high])


def test_pooled_scores_are_those_of_the_summary():
    table = synthetic.tidy_table(50)
    summary = synthetic.summary_table(table).set_index(["system", "task"])
    for row in stats.intervals(table).itertuples():
        if row.metric in ("faithfulness", "faithfulness_macro"):
            continue
        assert row.score == pytest.approx(summary.loc[(row.system, row.task), row.metric]), row.metric
        assert row.low <= row.score + 1e-12 and row.score <= row.high + 1e-12


def test_faithfulness_pools_found_over_answered_values():
    table = tidy(a__faithful_found=[1, 0, 3], a__faithful_total=[2, 0, 4], a__faithfulness=[0.5, 0, 0.75])
    scores = stats.intervals(table).set_index("metric")["score"]
    assert scores["faithfulness"] == pytest.approx(4 / 6)
    assert scores["faithfulness_macro"] == pytest.approx(1.25 / 3)


def test_counts_are_no_scores_and_f1_by_offsets_is_pooled():
    counts = {"tp": [2, 0], "pred": [2, 1], "gold": [3, 1], "tp_offsets": [1, 0]}
    columns = {f"a__entity_{name}": values for name, values in counts.items()}
    columns |= {"a__entity_f1": [0.8, 0], "a__entity_f1_offsets": [0.4, 0]}
    for name in ("prompts", "unread_prompts", "answer_tokens", "wrong", "wrong_type", "span_shift", "nested_gold"):
        columns[f"a__{name}"] = [3, 4]
    scores = stats.intervals(tidy("ner", **columns)).set_index("metric")["score"]
    assert scores["entity_f1_offsets"] == pytest.approx(2 * 1 / (3 + 4))
    assert set(scores.index) == {f"entity_{n}" for n in ("precision", "recall", "f1", "f1_macro", "f1_offsets")}


def test_nothing_to_find_and_nothing_answered_is_the_mean_of_the_samples():
    zero = [0, 0, 0]
    table = tidy(a__entity_tp=zero, a__entity_pred=zero, a__entity_gold=zero, a__entity_f1=[1, 1, 0])
    assert one_row(stats.intervals(table), metric="entity_f1")["score"] == pytest.approx(2 / 3)


# -- clusters -----------------------------------------------------------------------------------------------------


def test_samples_that_share_a_topic_are_one_cluster_through_others_too():
    sources = ["k/a", "k/b+k/c", "", "k/c+d", "k/d", "", "x/a", "k/e"]
    assert stats.clusters_of(sources).tolist() == [0, 1, 2, 1, 1, 3, 4, 5]


def clustered(table, clusters):
    return table.assign(source=[f"k/{clusters[int(name[1:])]}" for name in table["sample"]])


def made_of_clusters(n=200, clusters=11, seed=6):
    """Scores of two systems whose differences have a part of each cluster, and the samples' clusters."""
    rng = np.random.default_rng(seed)
    cluster = rng.permutation(np.arange(n) % clusters)
    base = rng.normal(0, 1, n)
    return base + rng.normal(0.3, 0.5, clusters)[cluster], base + rng.normal(0, 0.5, n), cluster


def test_permutation_test_of_clusters_is_scipys_over_their_sums():
    a, b, cluster = made_of_clusters()
    row = stats.comparisons(clustered(tidy(a__rougeL=a, b__rougeL=b), cluster), pairs=[("a", "b")]).iloc[0]
    assert (row["n"], row["clusters"]) == (200, 11)
    expected = scipy_stats.permutation_test(
        [np.bincount(cluster, weights=values) for values in (a, b)],
        lambda x, y: np.sum(x - y),
        permutation_type="samples",
        n_resamples=np.inf,
    )
    assert row["p"] == pytest.approx(expected.pvalue) and row["difference"] == pytest.approx(np.mean(a - b))


def test_interval_over_clusters_is_scipys_bootstrap_of_their_sums():
    a, b, cluster = made_of_clusters(clusters=30)
    row = stats.comparisons(clustered(tidy(a__rougeL=a, b__rougeL=b), cluster), pairs=[("a", "b")], seed=2).iloc[0]
    # scipy draws the clusters by their order, which here is that of their first samples
    order = list(dict.fromkeys(cluster))
    sums, sizes = np.bincount(cluster, weights=a - b)[order], np.bincount(cluster)[order]
    expected = scipy_stats.bootstrap(
        (sums, sizes),
        lambda d, n, axis: d.sum(axis=axis) / n.sum(axis=axis),
        paired=True,
        vectorized=True,
        n_resamples=stats.RESAMPLES,
        confidence_level=widened(30),
        rng=np.random.default_rng(2),
    ).confidence_interval
    assert (row["low"], row["high"]) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_binary_scores_of_clusters_change_sides_by_cluster():
    cluster = np.repeat(np.arange(10), 8)
    # each cluster is won or lost as a whole: 80 samples say no more than 10
    a = np.repeat([1, 1, 1, 1, 1, 1, 1, 1, 0, 0], 8).astype(float)
    table = tidy(a__json_parse_ok=a, b__json_parse_ok=1 - a)
    row = stats.comparisons(clustered(table, cluster), pairs=[("a", "b")]).iloc[0]
    assert row["p"] == pytest.approx(scipy_stats.binomtest(8, 10).pvalue)
    alone = stats.comparisons(table, pairs=[("a", "b")]).iloc[0]
    assert alone["p"] == pytest.approx(scipy_stats.binomtest(64, 80).pvalue)


def test_all_of_few_clusters_leaves_more_doubt_than_all_of_many_samples():
    table = clustered(tidy(a__json_parse_ok=[1.0] * 300), np.arange(300) % 12)
    row = stats.intervals(table).iloc[0]
    assert (row["n"], row["clusters"]) == (300, 12)
    assert row["low"] == pytest.approx(proportion.proportion_confint(12, 12, method="beta")[0])


def test_copies_of_samples_in_their_clusters_change_nothing():
    a, _, _ = made_of_clusters(n=25)
    b = a + np.random.default_rng(3).normal(0.05, 0.5, 25)
    once = stats.comparisons(tidy(a__rougeL=a, b__rougeL=b), pairs=[("a", "b")]).iloc[0]
    copies = tidy(a__rougeL=np.tile(a, 4), b__rougeL=np.tile(b, 4))
    row = stats.comparisons(clustered(copies, np.arange(100) % 25), pairs=[("a", "b")]).iloc[0]
    for column in ("difference", "low", "high", "p"):
        assert row[column] == pytest.approx(once[column]), column
    # as many clusters settle it, which are four times as many samples
    assert row["samples_needed"] == pytest.approx(4 * once["samples_needed"], abs=4)


def simulated(reps, articles=300, topics=24, icc=0.64, seed=0):
    """Scores of two systems that are equally good, article by article, with this share of variance between topics."""
    rng = np.random.default_rng(seed)
    topic = np.arange(articles) * topics // articles
    effects = rng.normal(0, icc**0.5, (reps, topics, 2))[:, topic]
    return effects + rng.normal(0, (1 - icc) ** 0.5, (reps, articles, 2)), topic


def false_positives(values, clusters, monkeypatch, binary=False):
    """How often the test and the interval see a difference; each repetition is a metric of one table."""
    names = [f"m{number}" for number in range(len(values))]
    monkeypatch.setattr(stats, "BINARY", tuple(names) if binary else ())
    scores = stats.Scores("t", ["a", "b"], names, values, np.ones(values.shape[1:], bool), clusters)
    rows = pd.DataFrame(stats._compared(scores, [(name, 0, 1) for name in names], 0.95, 0).values())
    return (rows["p"] < 0.05).mean(), ((rows["low"] > 0) | (rows["high"] < 0)).mean()


def test_false_positives_at_5_percent_are_3_to_7_in_clusters_and_many_more_without(monkeypatch):
    values, topic = simulated(600)
    for binary in (False, True):
        found = values > 0 if binary else values
        rates = false_positives(found.astype(float), topic, monkeypatch, binary)
        assert all(0.03 <= rate <= 0.07 for rate in rates), (binary, rates)
    blind = false_positives(values[:100], np.arange(300), monkeypatch)
    assert min(blind) > 0.3


def test_a_tail_that_no_permutation_reached_is_never_too_small():
    # 20 clusters: a million permutations can be counted, as sums of two halves
    rng = np.random.default_rng(0)
    signs = 1 - 2 * (np.arange(2**10)[:, None] >> np.arange(10) & 1)
    one_against = np.where(np.arange(20) == 7, -1.0, 1.0)
    differences = [one_against, *(rng.normal(1.2, 1, 20) for _ in range(20)), *rng.lognormal(0, 1, (10, 20))]
    columns = {f"a{number:02d}__rougeL": values for number, values in enumerate(differences)}
    pairs = [(name.split("__")[0], "none") for name in columns]
    found = stats.comparisons(tidy(**columns, none__rougeL=np.zeros(20)), pairs=pairs)["p"]
    exact = []
    for difference in differences:
        sums = (signs @ difference[:10])[:, None] + signs @ difference[10:]
        exact.append(np.mean(np.abs(sums) >= abs(difference.sum()) - 1e-9))
    rare = np.array(exact) < 2e-5
    assert rare.sum() >= 10 and (found[rare] >= np.array(exact)[rare]).all()
    assert exact[0] == 2 * 21 / 2**20 and exact[0] < found[0] < 2 * exact[0]


def test_a_clear_difference_is_seen_among_hundreds_of_pairs():
    rng = np.random.default_rng(1)
    columns = {f"s{number:02d}__rougeL": rng.normal(0, 1, 60) for number in range(36)}
    columns["best__rougeL"] = rng.normal(3, 1, 60)
    table = stats.comparisons(tidy(**columns))
    assert set(table["family_size"]) == {37 * 36 // 2}
    won = table[(table["a"] == "best") | (table["b"] == "best")]
    assert (won["p_holm"] < 0.05).all() and (won["p"] < 1e-4).all()


def test_the_smallest_p_of_few_clusters_is_marked_as_such():
    a, b, cluster = made_of_clusters(clusters=6)
    table = clustered(tidy(a__rougeL=b + 1, b__rougeL=b), cluster)
    row = stats.comparisons(table, pairs=[("a", "b")]).iloc[0]
    assert row["p"] == 2 / 2**6 and row["p_ends"]
    assert p_text(row["p"], row["p_ends"]) == "≤0.031" and p_text(0.2) == "0.200"
    row = stats.comparisons(clustered(tidy(a__rougeL=a, b__rougeL=b), cluster), pairs=[("a", "b")]).iloc[0]
    assert row["p"] > 2 / 2**6 and not row["p_ends"]


def test_samples_of_one_source_are_not_tested_and_say_so():
    table = tidy(a__rougeL=[0.5, 0.6, 0.7], b__rougeL=[0.1, 0.3, 0.2]).assign(source="book")
    row = stats.comparisons(table, pairs=[("a", "b")]).iloc[0]
    assert np.isnan([row["low"], row["p"]]).all() and row["verdict"] == "untested"
    assert row["note"] == "all 3 samples share their source: no interval, no test"
    assert stats.intervals(table)["note"].eq("all 3 samples share their source: no interval").all()


def test_clusters_make_a_full_evaluation_faster():
    table = synthetic.tidy_table(300)
    start = time.process_time()
    stats.comparisons(clustered(table.assign(sample=[f"s{n[-4:]}" for n in table["sample"]]), np.arange(300) % 24))
    assert time.process_time() - start < 6


# -- bad and odd input --------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def test_different_test_sets_use_the_common_samples_and_say_so():
    a, b = [0.5] * 4 + [0.9] * 6, [0.4] * 6 + [None] * 4
    row = stats.comparisons(tidy(a__rougeL=a, b__rougeL=b), pairs=[("a", "b")]).iloc[0]
    assert (row["n"], row["n_a"], row["n_b"]) == (6, 10, 6)
    assert row["score_a"] == pytest.approx((4 * 0.5 + 2 * 0.9) / 6)
    assert "6 common samples of 10 and 6" in row["note"]


def test_one_sample_gets_no_interval_and_no_test_but_a_statement():
    row = stats.comparisons(tidy(a__rougeL=[0.5], b__rougeL=[0.4]), pairs=[("a", "b")]).iloc[0]
    assert np.isnan([row["low"], row["p"], row["p_holm"]]).all()
    assert row["difference"] == pytest.approx(0.1)
    assert row["verdict"] == "untested" and "one sample" in row["note"]


@pytest.mark.parametrize(("value", "words"), [(0.7, "equal on every sample"), (0.0, "all scores zero")])
def test_equal_scores_are_undecided_with_an_interval_of_zero_width(value, words):
    table = tidy(a__rougeL=[value] * 20, b__rougeL=[value] * 20)
    row = stats.comparisons(table, pairs=[("a", "b")]).iloc[0]
    assert (row["low"], row["high"], row["p"]) == (0, 0, 1)
    assert row["verdict"] == "undecided" and np.isnan(row["samples_needed"])
    assert words in row["note"]


def test_a_missing_value_leaves_its_sample_out_and_says_so():
    table = tidy(a__rougeL=[0.5, np.nan, 0.7, 0.4], b__rougeL=[0.4, 0.3, np.inf, 0.2])
    row = stats.comparisons(table, pairs=[("a", "b")]).iloc[0]
    assert row["n"] == 2 and "2 common samples without a value" in row["note"]


def test_a_system_without_the_task_or_metric_keeps_its_row():
    table = pd.concat(
        [tidy("json", a__rougeL=[0.5] * 3, b__rougeL=[0.4] * 3, a__cosine=[0.1] * 3), tidy("kge", a__rougeL=[0.5] * 3)]
    )
    compared = stats.comparisons(table, pairs=[("a", "b")])
    assert one_row(compared, task="kge")["note"] == "b: no answers for this task"
    assert one_row(compared, task="json", metric="cosine")["note"] == "b: not computed"
    single = stats.intervals(table)
    assert one_row(single, task="kge", system="b")["note"] == "no answers for this task"
    assert len(single) == 2 * 3


def test_two_runs_under_one_name_are_refused_by_name():
    table = pd.concat([tidy(a__rougeL=[0.5, 0.6]), tidy(a__rougeL=[0.7])])
    with pytest.raises(EtlchError, match="'a' has more than one value for task 'json', metric 'rougeL', sample 's000'"):
        stats.intervals(table)


def test_an_unknown_system_and_a_missing_column_are_named():
    table = tidy(a__rougeL=[0.5])
    with pytest.raises(EtlchError, match=r"no system 'x'.*expected one of a"):
        stats.comparisons(table, pairs=[("a", "x")])
    with pytest.raises(EtlchError, match="no column 'value'"):
        stats.intervals(table.drop(columns="value"))


def test_the_same_input_in_any_row_order_gives_the_same_table():
    table = synthetic.tidy_table(30)
    shuffled = table.sample(frac=1, random_state=3)
    pd.testing.assert_frame_equal(stats.comparisons(table), stats.comparisons(shuffled))


# -- how much data is enough --------------------------------------------------------------------------------------


def ladder(means, spread=0.05, n=200, seed=0):
    rng = np.random.default_rng(seed)
    noise = rng.normal(0, 0.1, n)
    columns, scales = {}, {}
    for scale, mean in means.items():
        columns[f"gemma_{scale}__rougeL"] = np.clip(mean + noise + rng.normal(0, spread, n), 0, 1)
        scales[f"gemma_{scale}"] = scale
    return tidy(scales=scales, **columns)


def test_enough_is_where_the_plateau_begins():
    table = stats.enough_data(ladder({100: 0.4, 300: 0.6, 500: 0.605, 1000: 0.605}))
    assert table.loc[table["enough"], "scale"].tolist() == [300]
    assert set(table["margin"]) == {0.02} and set(table["largest"]) == {1000}


def test_a_wide_interval_is_not_enough():
    few = ladder({100: 0.6, 1000: 0.6}, spread=0.2, n=30)
    assert stats.enough_data(few).query("enough")["scale"].tolist() == [1000]
    assert stats.enough_data(few, margin=0.3).query("enough")["scale"].tolist() == [100]


def test_a_lucky_small_scale_below_a_worse_one_is_not_enough():
    table = stats.enough_data(ladder({100: 0.6, 300: 0.5, 1000: 0.6}))
    assert table.loc[table["enough"], "scale"].tolist() == [1000]


def test_scores_of_zero_say_nothing_about_data():
    table = stats.enough_data(tidy(scales={"a": 100, "b": 300}, a__rougeL=[0.0] * 5, b__rougeL=[0.0] * 5))
    assert not table["enough"].any()
    assert table["note"].str.contains("nothing was learned").all()


def test_two_systems_of_one_base_model_and_scale_stand_on_ladders_of_their_own():
    table = ladder({100: 0.4, 300: 0.6, 1000: 0.605})
    twice = ladder({100: 0.6, 300: 0.6, 1000: 0.6}, seed=1)
    twice["system"] = twice["system"] + "+schema"
    alone = twice[twice["scale"] == 300].assign(system="recipe")
    found = stats.enough_data(pd.concat([table, twice, alone]))
    assert found.loc[found["enough"], ["ladder", "scale"]].to_numpy().tolist() == [
        ["gemma_N", 300],
        ["gemma_N+schema", 100],
    ]
    assert set(found["base_model"]) == {"gemma"} and "recipe" not in set(found["system"])
    # each ladder as if the other were not there
    columns = ["scale", "score", "difference", "bound", "enough"]
    for part, name in ((table, "gemma_N"), (twice, "gemma_N+schema")):
        lone = stats.enough_data(part)
        assert set(lone["ladder"]) == {"gemma"}
        pd.testing.assert_frame_equal(lone[columns], found.loc[found["ladder"] == name, columns].reset_index(drop=True))


def test_one_scale_alone_has_nothing_to_say():
    assert stats.enough_data(tidy(scales={"a": 100}, a__rougeL=[0.1] * 5)).empty


def test_a_full_evaluation_is_compared_in_seconds():
    table = synthetic.tidy_table(300)
    start = time.process_time()
    assert len(stats.comparisons(table)) > 900
    assert time.process_time() - start < 10
