"""Statistics on the tidy table: paired differences with intervals and tests, Holm, how much data, how many samples.

Everything is computed on the samples that both systems have, is seeded, and never drops a comparison silently: what
could not be computed is said in the column `note`. Samples that share a source are no independent evidence: they are one
cluster, and intervals and tests resample clusters (of one sample each where the table names no source).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import combinations, product
from typing import Any

import numpy as np
import pandas as pd
from scipy import special
from scipy import stats as scipy_stats

from etlch.errors import EtlchError
from eval.names import BINARY, PARTS, ladders, order_metrics, systems_of, tasks_of

RESAMPLES = 9999
FEW = 20
"""With fewer clusters intervals are rough and tests coarse, which is said."""
LEVEL, ALPHA, POWER = 0.95, 0.05, 0.8
_EXACT_UP_TO = 13
_CELLS = 8_000_000
_TINY = 1e-12
_KINDS = ("", "_normalised", "_partial", "_offsets")
_NOT_SCORES = re.compile(
    r"(answer|faithful|span)_\w+|(unread_)?prompts|wrong(_type)?|\w+_(tp|pred|gold)"
    r"|\w+_(tp|f1)_(normalised|partial|offsets)"
)
"""Counts, and the samples' own values of what is pooled."""
_POOLED = {"faithfulness": ("faithful_found", "faithful_total", "faithfulness")}
for _part in PARTS:
    _pred, _gold = f"{_part}_pred", f"{_part}_gold"
    _POOLED[f"{_part}_precision"] = (f"{_part}_tp", _pred)
    _POOLED[f"{_part}_recall"] = (f"{_part}_tp", _gold)
    for _kind in _KINDS:
        _POOLED[f"{_part}_f1{_kind}"] = (f"{_part}_tp{_kind}", _pred, _gold, f"{_part}_f1{_kind}")
"""Pooled metric -> the tidy metrics whose sums make it: (above, below), (found, answered, own) or (tp, pred, gold, own)."""


@dataclass(frozen=True, slots=True)
class Scores:
    """One task of a tidy table as an array: `values[metric, sample, system]`, NaN where there is no value."""

    task: str
    systems: list[str]
    metrics: list[str]
    values: np.ndarray
    present: np.ndarray
    """present[sample, system]: the system has at least one row for the sample."""
    clusters: np.ndarray
    """clusters[sample]: a number that is the same for samples of the same sources."""

    def sources(self, metric: str) -> tuple[str, ...]:
        """The tidy metrics that make a score: those of _POOLED where the task has them, else one whose mean it is."""
        sources = _POOLED.get(metric, ())
        return sources if sources and set(sources) <= set(self.metrics) else (metric.removesuffix("_macro"),)

    def of(self, names: Sequence[str]) -> np.ndarray:
        """name x sample x system values of some metrics of the task."""
        return self.values[[self.metrics.index(name) for name in names]]

    def whole(self, metric: str) -> np.ndarray:
        """sample x system: is there a value of everything that makes the score?"""
        return np.isfinite(self.of(self.sources(metric))).all(axis=0)

    def count(self, mask: np.ndarray) -> int:
        """How many clusters the samples of a mask are in."""
        return len(np.unique(self.clusters[mask]))


def load_scores(tidy: pd.DataFrame) -> list[Scores]:
    """The tasks of a tidy table as arrays, every system in every task; samples are in order of their names.

    Raises EtlchError when a column is missing or a system has two values for one task, metric and sample.
    """
    cell = ["system", "task", "metric", "sample"]
    for name in ("base_model", "scale", "value", *cell):
        if name not in tidy:
            raise EtlchError(f"tidy table: no column {name!r} (found {', '.join(map(str, tidy.columns))})")
    for row in tidy[tidy.duplicated(cell)].head(1).itertuples():
        raise EtlchError(
            f"tidy table: system {row.system!r} has more than one value for task {row.task!r}, metric {row.metric!r}, "
            f"sample {row.sample!r} (expected one; two runs under one name?)"
        )
    systems = systems_of(tidy)["system"].tolist()
    result = []
    for task in tasks_of(tidy):
        part = tidy[tidy["task"] == task]
        metrics, samples = order_metrics(part["metric"].unique()), sorted(part["sample"].unique())
        axes = (("metric", metrics), ("sample", samples), ("system", systems))
        m, s, k = (pd.Categorical(part[column], categories=names).codes for column, names in axes)
        values = np.full((len(metrics), len(samples), len(systems)), np.nan)
        values[m, s, k] = pd.to_numeric(part["value"], errors="coerce")
        values[~np.isfinite(values)] = np.nan
        present = np.zeros(values.shape[1:], dtype=bool)
        present[s, k] = True
        result.append(Scores(task, systems, metrics, values, present, clusters_of(_said(part, samples))))
    return result


def _said(part: pd.DataFrame, samples: list[Any]) -> list[str]:
    """The source of each sample; all of them where the rows of a sample say different ones."""
    if "source" not in part:
        return [""] * len(samples)
    pairs = part[["sample", "source"]].drop_duplicates().dropna().astype({"source": str}).sort_values("source")
    joined = pairs.groupby("sample", observed=True)["source"].agg("+".join)
    return joined.reindex(samples).fillna("").tolist()


def clusters_of(sources: Sequence[str]) -> np.ndarray:
    """A number a sample, the same for samples that share a topic, directly or through others; numbers rise from 0.

    `+` stands between the topics of a source: `knowledge/a+knowledge/b`, or `knowledge/a+b` for short. A sample without a
    source is a cluster of its own.
    """
    above = list(range(len(sources)))

    def top(n: int) -> int:
        while above[n] != n:
            above[n] = n = above[above[n]]
        return n

    first: dict[str, int] = {}
    for n, source in enumerate(sources):
        folder = ""
        for topic in filter(None, source.split("+")):
            folder, _, name = topic.rpartition("/") if "/" in topic else (folder, "", topic)
            low, high = sorted((top(n), top(first.setdefault(f"{folder}/{name}", n))))
            above[high] = low
    return np.unique([top(n) for n in range(len(sources))], return_inverse=True)[1]


def scored_metrics(scores: Scores, rates: bool = False) -> list[str]:
    """The metrics to compare, in order: per-sample scores by their mean, pooled ones from their counts.

    Pooled are the micro F1 `<part>_f1` (also `_normalised`, `_partial` and `_offsets`) and `faithfulness` (found and answered values
    summed); the means of the samples' own values are then called `<part>_f1_macro` and `faithfulness_macro`, as in
    eval.scores.Summary. `rates` adds `<part>_precision` and `<part>_recall`.
    """
    pooled = [name for name, sources in _POOLED.items() if set(sources) <= set(scores.metrics)]
    names = [name for name in pooled if rates or not name.endswith(("_precision", "_recall"))]
    own = [metric for metric in scores.metrics if not _NOT_SCORES.fullmatch(metric)]
    return order_metrics([*names, *(f"{metric}_macro" if metric in pooled else metric for metric in own)])


def _statistic(sums: np.ndarray, n: int | np.ndarray) -> np.ndarray:
    """The score from sums over n samples (source first): mean, ratio, or micro F1 = 2 tp / (pred + gold).

    0/0 is the mean of the samples' own values where these are among the sources (the rule of eval.scores), else 0.
    """
    if len(sums) == 1:
        return sums[0] / n
    above, below = (2 * sums[0], sums[1] + sums[2]) if len(sums) == 4 else (sums[0], sums[1])
    above, below = np.broadcast_arrays(above, below)
    otherwise = sums[-1] / n if len(sums) > 2 else np.zeros(above.shape)
    return np.divide(above, below, out=np.array(np.broadcast_to(otherwise, above.shape)), where=below > 0)


# -- resampling ---------------------------------------------------------------------------------------------------


def _weights(n: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """How often each of n clusters is drawn in each bootstrap resample, in blocks of rows (resample x cluster)."""
    rng = np.random.default_rng(seed)
    for rows in _block_sizes(resamples, n):
        drawn = rng.integers(0, n, (rows, n))
        drawn += np.arange(rows)[:, None] * n
        yield np.bincount(drawn.ravel(), minlength=rows * n).reshape(rows, n).astype(float)


def _swaps(n: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Which clusters change sides in each permutation (1 or 0), in blocks; all 2**n of them when n is small."""
    if n <= _EXACT_UP_TO:
        yield (np.arange(2**n)[:, None] >> np.arange(n) & 1).astype(float)
        return
    rng = np.random.default_rng(seed + 1)
    for rows in _block_sizes(resamples, n):
        yield rng.integers(0, 2, (rows, n)).astype(float)


def _block_sizes(resamples: int, n: int) -> list[int]:
    """Rows of each block. Above 30,000 clusters fewer resamples (never under 999) give intervals as narrow in less time."""
    rows = min(resamples, max(999, resamples * 30_000 // n))
    size = max(1, min(rows, _CELLS // n))
    return [min(size, rows - start) for start in range(0, rows, size)]


Blocks = Callable[[int, int, int], Iterator[np.ndarray]]


@lru_cache(maxsize=6)
def _kept(blocks: Blocks, n: int, resamples: int, seed: int) -> list[np.ndarray]:
    return list(blocks(n, resamples, seed))


Job = tuple[Any, ...]
"""(metric, system) or (metric, system, system): what is asked for, systems by their places."""


class _Sampled:
    """Systems on the samples of a mask, where all the metrics asked for have values.

    All metrics are resampled together, once: they share their sources, and each system stands in many pairs. What a
    score is made of is summed in each cluster first; the sums are what is resampled.
    """

    def __init__(self, scores: Scores, mask: np.ndarray, jobs: Sequence[Job], resamples: int, seed: int):
        self.n = int(mask.sum())
        self.systems = sorted({k for _, *systems in jobs for k in systems})
        self._sources = {metric: scores.sources(metric) for metric, *_ in jobs}
        self._names = list(dict.fromkeys(name for names in self._sources.values() for name in names))
        values = scores.of(self._names)[:, mask][..., self.systems]
        # a system may lack a metric that nobody asks for here
        self._values = np.nan_to_num(values.transpose(0, 2, 1).copy())
        clusters = scores.clusters[mask]
        order = np.argsort(clusters, kind="stable")
        starts = np.flatnonzero(np.diff(clusters[order], prepend=-1))
        self.sizes = np.diff(starts, append=self.n)
        self.clusters = len(starts)
        alone = self.clusters == self.n
        self._totals = self._values if alone else np.add.reduceat(self._values[..., order], starts, axis=2)
        self._resamples, self._seed = resamples, seed

    def values(self, metric: str) -> np.ndarray:
        """source x system x sample."""
        return self._values[self._at(metric)]

    def moved(self, metric: str) -> np.ndarray:
        """Sums over the clusters that change sides: source x system x permutation."""
        return self._moved[0][self._at(metric)]

    def statistics(self, metric: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The score of each system: as observed, with each cluster left out, and in each bootstrap resample.

        The same clusters are drawn for every system. With one cluster there is only what is observed.
        """
        totals = self._totals[self._at(metric)]
        sums = totals.sum(axis=2)
        observed = _statistic(sums, self.n)
        if self.clusters == 1:
            return observed, observed[:, None], observed[:, None]
        left_out = _statistic(sums[..., None] - totals, self.n - self.sizes)
        drawn, sizes = self._drawn
        return observed, left_out, _statistic(drawn[self._at(metric)], sizes)

    def _at(self, metric: str) -> list[int]:
        return [self._names.index(name) for name in self._sources[metric]]

    @cached_property
    def _drawn(self) -> tuple[np.ndarray, np.ndarray]:
        return self._sums(_weights)

    @cached_property
    def _moved(self) -> tuple[np.ndarray, np.ndarray]:
        return self._sums(_swaps)

    def _sums(self, blocks: Blocks) -> tuple[np.ndarray, np.ndarray]:
        """source x system x resample, in one product a block; and how many samples are in each resample."""
        # small ones are drawn once for all tasks; large ones are drawn again, to bound memory
        draw = _kept if self.clusters * self._resamples <= _CELLS else lambda blocks, *how: blocks(*how)
        columns = np.vstack([self._totals.reshape(-1, self.clusters), self.sizes])
        sums = [columns @ block.T for block in draw(blocks, self.clusters, self._resamples, self._seed)]
        *sums, sizes = np.concatenate(sums, axis=1)
        return np.array(sums).reshape(*self._totals.shape[:2], -1), sizes


def _by_samples(
    scores: Scores, jobs: Iterable[Job], resamples: int, seed: int
) -> Iterator[tuple[_Sampled, str, list[Job]]]:
    """The jobs of each metric on the same samples, those on which all its sources have values; none without any."""
    whole = {metric: scores.whole(metric) for metric in dict.fromkeys(metric for metric, *_ in jobs)}
    groups: dict[bytes, dict[str, list[Job]]] = defaultdict(lambda: defaultdict(list))
    for metric, *systems in jobs:
        groups[whole[metric][:, systems].all(axis=1).tobytes()][metric].append((metric, *systems))
    for key, group in groups.items():
        if (mask := np.frombuffer(key, dtype=bool)).any():
            sampled = _Sampled(scores, mask, [job for some in group.values() for job in some], resamples, seed)
            yield from ((sampled, metric, some) for metric, some in group.items())


def _acceleration(left_out: np.ndarray) -> np.ndarray:
    """BCa acceleration from leave-one-out statistics (row: comparison, column: cluster left out); 0 without variance."""
    centred = left_out.mean(axis=1, keepdims=True) - left_out
    square = (centred**2).sum(axis=1)
    flat = square <= _TINY**2
    return np.where(flat, 0.0, (centred**3).sum(axis=1) / (6 * np.where(flat, 1, square) ** 1.5))


def _bca(
    observed: np.ndarray, left_out: np.ndarray, distribution: np.ndarray, level: float
) -> tuple[np.ndarray, np.ndarray]:
    """Bias-corrected and accelerated bootstrap interval (Efron 1987), as scipy.stats.bootstrap computes it.

    The level is widened as Student's t and the variance's divisor ask for k clusters (Hesterberg 2015, section 3.3.2):
    z becomes sqrt(k / (k - 1)) * t(k - 1). distribution: comparison x resample. One without spread gives the observed value itself, one cluster no interval.
    """
    count = distribution.shape[1]
    if count == 1:
        return np.full((2, len(observed)), np.nan)
    below = (distribution < observed[:, None] - _TINY).sum(axis=1)
    up_to = (distribution <= observed[:, None] + _TINY).sum(axis=1)
    # a resample is never all on one side of the estimate unless it is degenerate; half a count keeps z0 finite
    share = np.clip((below + up_to) / (2 * count), 0.5 / count, 1 - 0.5 / count)
    z0 = special.ndtri(share)
    clusters = left_out.shape[1]
    half = (clusters / (clusters - 1)) ** 0.5 * special.stdtrit(clusters - 1, (1 + level) / 2)
    z = z0 + np.array([[-half], [half]])
    at = special.ndtr(z0 + z / (1 - _acceleration(left_out) * z)) * (count - 1)
    floor = np.clip(np.floor(at).astype(int), 0, count - 1)
    above = np.minimum(floor + 1, count - 1)
    ends = np.empty(at.shape)
    for row, values in enumerate(distribution):
        lower, upper = floor[:, row], above[:, row]
        # the four values that are needed in their places: a third of the time that sorting takes
        values = np.partition(values, [*lower, *upper])
        ends[:, row] = values[lower] + (values[upper] - values[lower]) * (at[:, row] - lower)
    flat = distribution.max(axis=1) - distribution.min(axis=1) <= _TINY
    return np.where(flat, observed, ends)


# -- intervals of single systems ----------------------------------------------------------------------------------


def intervals(tidy: pd.DataFrame, *, resamples: int = RESAMPLES, seed: int = 0) -> pd.DataFrame:
    """The score of each system on each task and metric with a BCa bootstrap interval over clusters.

    Columns: those of eval.names.systems_of, task, metric, n, clusters, no_value (samples without a value for the metric),
    score, low, high, note. A system without the task or metric has a row that says so. For metrics of 0 and 1, none or all
    gets Clopper and Pearson's exact interval for as many trials as there are clusters.
    """
    systems = systems_of(tidy).to_dict("records")
    rows = []
    for scores in load_scores(tidy):
        wanted = list(product(scored_metrics(scores, rates=True), range(len(systems))))
        found: dict[Job, tuple[float, ...]] = {}
        for sampled, metric, jobs in _by_samples(scores, wanted, resamples, seed):
            score, *more = sampled.statistics(metric)
            low, high = _bca(score, *more, LEVEL)
            if metric in BINARY and sampled.clusters > 1:
                # Clopper and Pearson's for none or all, where resampling cannot show any doubt
                doubt = 1 - ((1 - LEVEL) / 2) ** (1 / sampled.clusters)
                low, high = np.where(score == 1, 1 - doubt, low), np.where(score == 0, doubt, high)
            numbers = dict(zip(sampled.systems, zip(score, low, high, strict=True), strict=True))
            found |= {(metric, k): (sampled.n, sampled.clusters, *numbers[k]) for _, k in jobs}
        for metric, k in wanted:
            n, clusters, score, low, high = found.get((metric, k), (0, 0, np.nan, np.nan, np.nan))
            present = int(scores.present[:, k].sum())
            note = f"{_lone(n)}: no interval" if clusters == 1 else ""
            if not n:
                note = "not computed" if present else "no answers for this task"
            row = systems[k] | {"task": scores.task, "metric": metric, "n": n, "clusters": clusters}
            row |= {"no_value": present - n, "score": score, "low": low, "high": high}
            rows.append(row | {"note": note})
    return pd.DataFrame(rows)


def _lone(n: int) -> str:
    return "one sample" if n == 1 else f"all {n:,} samples share their source"


# -- pairs --------------------------------------------------------------------------------------------------------


def comparisons(
    tidy: pd.DataFrame,
    *,
    pairs: Iterable[tuple[str, str]] | None = None,
    level: float = LEVEL,
    seed: int = 0,
) -> pd.DataFrame:
    """Every pair of systems on every task and metric, on the samples that both have.

    Columns: task, metric, a, b, n (common samples with a value), clusters (of them), n_a, n_b (samples of each), score_a,
    score_b, difference (a - b), low, high (paired BCa bootstrap over clusters); p (the paired permutation test, two-sided:
    clusters change sides; exact McNemar for metrics of 0 and 1 where each sample is a cluster), p_ends (p is the smallest
    that so few clusters can give), p_fisher (Fisher's exact test, two-sided, for metrics of 0 and 1: it ignores pairs and
    clusters and stands for comparison with the ETLCH paper), family, family_size, p_holm, verdict (`a`, `b`, `undecided`
    or `untested`), samples_needed, note.

    A family is one task and metric over all pairs compared; p_holm is Holm's adjusted p within it. samples_needed is
    the number of samples, as many a cluster as here, at which a two-sided paired test at 0.05 / family_size has a power of
    0.8 if the difference seen is the true one; it is given for undecided comparisons only. The micro F1 (`<part>_f1`) is
    resampled and permuted over clusters of counts.
    """
    names = systems_of(tidy)["system"].tolist()
    chosen = [(b, a) for a, b in combinations(names, 2)] if pairs is None else list(pairs)
    for name in sorted({name for pair in chosen for name in pair} - set(names)):
        raise EtlchError(f"no system {name!r} in the scores (expected one of {', '.join(names)})")
    rows: list[dict[str, Any]] = []
    for scores in load_scores(tidy):
        listed = scored_metrics(scores)
        jobs = [(metric, names.index(a), names.index(b)) for metric in listed for a, b in chosen]
        found = _compared(scores, jobs, level, seed)
        for metric in listed:
            family = [found[job] for job in jobs if job[0] == metric]
            _adjust(family)
            rows += family
    return pd.DataFrame(rows, columns=_COLUMNS)


_COLUMNS = [
    *("task", "metric", "a", "b", "n", "clusters", "n_a", "n_b", "score_a", "score_b", "difference", "low", "high"),
    *("p", "p_ends", "p_fisher", "family", "family_size", "p_holm", "verdict", "samples_needed", "note"),
]


def _compared(scores: Scores, jobs: list[Job], level: float, seed: int) -> dict[Job, dict[str, Any]]:
    """The rows of all comparisons (metric, a, b) of one task; those on the same samples are resampled together."""
    rows = {}
    for metric, *pair in jobs:
        found = scores.whole(metric)
        (name_a, n_a), (name_b, n_b) = ((scores.systems[k], int(scores.present[:, k].sum())) for k in pair)
        row = {"task": scores.task, "metric": metric, "a": name_a, "b": name_b, "n_a": n_a, "n_b": n_b}
        both = found[:, pair].all(axis=1)
        row |= {"n": int(both.sum()), "clusters": scores.count(both), "p_ends": False}
        row["family"] = f"{scores.task}, {metric}"
        rows[metric, *pair] = row | {"note": _pair_note(scores, pair, found)}
    for sampled, metric, group in _by_samples(scores, jobs, RESAMPLES, seed):
        for job, numbers in zip(group, _numbers(sampled, metric, group, level), strict=True):
            note = "; ".join(filter(None, [rows[job]["note"], numbers.pop("equal")]))
            rows[job] |= numbers | {"note": note}
    return rows


def _pair_note(scores: Scores, pair: Sequence[int], found: np.ndarray) -> str:
    for there, words in ((scores.present, "no answers for this task"), (found, "not computed")):
        if absent := [scores.systems[k] for k in pair if not there[:, k].any()]:
            return f"{' and '.join(absent)}: {words}"
    notes = []
    sizes = [int(scores.present[:, k].sum()) for k in pair]
    common, n = (int(there[:, pair].all(axis=1).sum()) for there in (scores.present, found))
    if common < max(sizes):
        notes.append(f"different test sets: {common} common samples of {sizes[0]} and {sizes[1]}")
    if n < common:
        notes.append(f"{common - n} common samples without a value")
    if scores.count(found[:, pair].all(axis=1)) == 1:
        notes.append(f"{_lone(n)}: no interval, no test")
    return "; ".join(notes)


def _numbers(sampled: _Sampled, metric: str, jobs: Sequence[Job], level: float) -> list[dict[str, Any]]:
    """The numbers of the comparisons (metric, a, b) on the same samples."""
    n, values, clusters = sampled.n, sampled.values(metric), sampled.clusters
    sides = np.array([[sampled.systems.index(k) for k in pair] for _, *pair in jobs]).T
    a, b = values[:, sides[0]], values[:, sides[1]]
    found = sampled.statistics(metric)
    single, left_out, drawn = (of[sides[0]] - of[sides[1]] for of in found)
    columns: dict[str, Any] = {"score_a": found[0][sides[0]], "score_b": found[0][sides[1]], "difference": single}
    zero = np.full(len(single), len(values) == 1) & ~a[0].any(axis=1)
    equal = (a == b).all(axis=(0, 2))
    columns["equal"] = np.where(equal, np.where(zero, "all scores zero", "equal on every sample"), "").tolist()
    if clusters > 1:
        columns["low"], columns["high"] = _bca(single, left_out, drawn, level)
        # of the difference, for one sample: the jackknife's standard error times the root of n
        variance = left_out.var(axis=1) * (clusters - 1)
        columns["spread"] = np.sqrt(variance * n)
        yes_a, yes_b = a[0] > 0, b[0] > 0
        if metric in BINARY:
            columns["p_fisher"] = [_fisher(int(x.sum()), int(y.sum()), n) for x, y in zip(yes_a, yes_b, strict=True)]
        if metric in BINARY and clusters == n:
            columns["p"] = mcnemar_exact((yes_a & ~yes_b).sum(axis=1), (yes_b & ~yes_a).sum(axis=1))
        else:
            columns["p"] = _permutation(sampled, metric, sides, single)
            columns["p_ends"] = columns["p"] <= 2.0 ** (1 - clusters) * (1 + _TINY)
    return pd.DataFrame(columns).to_dict("records")


def _permutation(sampled: _Sampled, metric: str, sides: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """Two-sided paired permutation test: the systems' answers change sides cluster by cluster.

    All 2**k permutations for k <= 13 clusters, else random ones with (hits + 1) / (permutations + 1). Where none of these
    is as far out as what is observed, p is the tail of a normal distribution with their standard deviation, so that it can
    stand Holm's correction over hundreds of pairs. Sums of random signs have lighter tails, so it is too large rather than
    too small. It is never below 2 / 2**k, the smallest that all permutations would give.
    """
    n, clusters = sampled.n, sampled.clusters
    moved = sampled.moved(metric)
    stayed = sampled.values(metric).sum(axis=2)[..., None] - moved
    if len(moved) == 1:
        lead = (stayed - moved)[0]
        statistic = (lead[sides[0]] - lead[sides[1]]) / n
    else:
        statistic = _statistic(stayed[:, sides[0]] + moved[:, sides[1]], n)
        statistic -= _statistic(stayed[:, sides[1]] + moved[:, sides[0]], n)
    hits = (np.abs(statistic) >= np.abs(observed)[:, None] - _TINY).sum(axis=1)
    if clusters <= _EXACT_UP_TO:
        return hits / 2**clusters
    p = (hits + 1) / (statistic.shape[1] + 1)
    spread = np.sqrt((statistic**2).mean(axis=1))
    tail = 2 * special.ndtr(-np.abs(observed) / np.maximum(spread, _TINY))
    return np.maximum(np.where(hits == 0, np.minimum(p, tail), p), 2.0 ** (1 - clusters))


def mcnemar_exact(only_a: np.ndarray, only_b: np.ndarray) -> np.ndarray:
    """Exact two-sided McNemar test from the two discordant counts; 1 when there are none."""
    return np.minimum(1.0, 2 * scipy_stats.binom.cdf(np.minimum(only_a, only_b), only_a + only_b, 0.5))


@lru_cache(maxsize=4096)
def _fisher(yes_a: int, yes_b: int, n: int) -> float:
    return float(scipy_stats.fisher_exact([[yes_a, n - yes_a], [yes_b, n - yes_b]]).pvalue)


def holm(p: Sequence[float]) -> np.ndarray:
    """Holm's (1979) adjusted p-values; NaN (not tested) stays NaN and does not count.

    The k-th smallest of m p-values is multiplied by m - k + 1, then made monotone and cut at 1 (statsmodels' own
    function collects garbage at each call, which costs more than everything else here).
    """
    p = np.asarray(p, dtype=float)
    order = np.argsort(p, kind="stable")[: int(np.isfinite(p).sum())]
    adjusted = np.full(p.shape, np.nan)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1)), 1.0)
    return adjusted


def samples_needed(difference: float, spread: float, alpha: float = ALPHA, power: float = POWER) -> float:
    """Samples for a two-sided paired test to find this mean difference with this power; inf for no difference.

    n = ((z(1 - alpha/2) + z(power)) * spread / difference)^2, spread being the standard deviation of the paired
    differences. It supposes that the difference seen is the true one, so it is a rough guide.
    """
    if not difference:
        return float("inf")
    z = special.ndtri(1 - alpha / 2) + special.ndtri(power)
    return float(np.ceil((z * spread / difference) ** 2))


def _adjust(family: list[dict[str, Any]]) -> None:
    """Fill family_size, p_holm, verdict and samples_needed of the comparisons of one task and metric."""
    adjusted = holm([row.get("p", np.nan) for row in family])
    size = int(np.isfinite(adjusted).sum())
    for row, p in zip(family, adjusted, strict=True):
        row |= {"family_size": size, "p_holm": p, "verdict": decision(p, row.get("difference"))}
        if row["verdict"] == "undecided" and abs(row["difference"]) > _TINY and row["spread"] > 0:
            needed = samples_needed(row["difference"], row["spread"], ALPHA / size)
            row["samples_needed"] = max(needed, row["n"] + 1)


def decision(p: float, difference: float) -> str:
    """Who is ahead, `a` or `b`, by an adjusted p; else `undecided`, or `untested` without one."""
    if not np.isfinite(p):
        return "untested"
    if p >= ALPHA or not difference:
        return "undecided"
    return "a" if difference > 0 else "b"


# -- how much data is enough --------------------------------------------------------------------------------------


def enough_data(tidy: pd.DataFrame, margin: float = 0.02) -> pd.DataFrame:
    """The smallest scale that is not worse than the largest one by more than `margin`, for each ladder (see systems_of).

    A scale is non-inferior when the lower end of the one-sided 95% bootstrap bound of (scale - largest) is above -margin. `enough` marks the smallest scale that is non-inferior and above which every scale is too. Columns:
    base_model, ladder, task, metric, scale, system, largest, largest_system, n, score, difference, bound, margin, non_inferior, enough,
    note. The largest scale is non-inferior to itself; where it alone is, more data may still help.
    """
    rows: list[dict[str, Any]] = []
    for part in ladders(systems_of(tidy)):
        *smaller, largest = scales = dict(zip(part["system"], part["scale"].tolist(), strict=True))
        if not smaller:
            continue
        pairs = [(name, largest) for name in smaller]
        # the lower end of a two-sided 90% interval is the one-sided 95% bound
        table = comparisons(tidy[tidy["system"].isin(scales)], pairs=pairs, level=2 * LEVEL - 1)
        about = part[["base_model", "ladder"]].iloc[0].to_dict() | {
            "largest": scales[largest],
            "largest_system": largest,
        }
        for _, group in table.groupby(["task", "metric"], sort=False):
            steps = _steps(group.to_dict("records"), largest, margin)
            rows += (about | step | {"scale": scales[step["system"]]} for step in steps)
    return pd.DataFrame(rows, columns=_ENOUGH)


_ENOUGH = [
    *("base_model", "ladder", "task", "metric", "scale", "system", "largest", "largest_system", "n", "score"),
    *("difference", "bound", "margin", "non_inferior", "enough", "note"),
]


def _steps(rows: list[dict[str, Any]], largest: str, margin: float) -> list[dict[str, Any]]:
    """One row a scale of one task and metric, from the comparisons of each with the largest."""
    flat = all(row["score_a"] == 0 and row["score_b"] == 0 for row in rows)
    last = {"a": largest, "n": max(row["n"] for row in rows), "score_a": rows[-1]["score_b"], "note": ""}
    steps = [*rows, rows[-1] | last | {"difference": 0.0, "low": 0.0}]
    for row in steps:
        row |= {"system": row["a"], "score": row["score_a"], "bound": row["low"], "margin": margin, "enough": False}
        row["non_inferior"] = bool(row["low"] >= -margin)
        row["note"] = "all scores zero: nothing was learned, so this says nothing about data" if flat else row["note"]
    start = next(i for i in range(len(steps)) if all(step["non_inferior"] for step in steps[i:]))
    steps[start]["enough"] = not flat
    return steps
