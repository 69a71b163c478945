"""Statistics on the tidy table: paired differences with intervals and tests, Holm, how much data, how many samples.

Everything is computed on the samples that both systems have, is seeded, and never drops a comparison silently: what
could not be computed is said in the column `note`.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from scipy import special
from scipy import stats as scipy_stats

from etlch.errors import EtlchError
from eval.names import BINARY, PARTS, order_metrics, systems_of, tasks_of

Member = TypeVar("Member")
RESAMPLES = 9999
_EXACT_UP_TO = 13
_CELLS = 8_000_000
_TINY = 1e-12
_NOT_SCORES = ("answer_chars", "faithful_found", "faithful_total")
_NOT_SCORE_ENDS = ("_tp", "_pred", "_gold", "_tp_normalised", "_tp_partial", "_f1_normalised", "_f1_partial")


@dataclass(frozen=True, slots=True)
class Scores:
    """One task of a tidy table as an array: `values[metric, sample, system]`, NaN where there is no value."""

    task: str
    systems: list[str]
    samples: list[str]
    metrics: list[str]
    values: np.ndarray
    present: np.ndarray
    """present[sample, system]: the system has at least one row for the sample."""

    def of(self, metric: str) -> np.ndarray:
        """sample x system values of one metric; all NaN for a metric that the task does not have."""
        if metric not in self.metrics:
            return np.full(self.present.shape, np.nan)
        return self.values[self.metrics.index(metric)]


def load_scores(tidy: pd.DataFrame) -> list[Scores]:
    """The tasks of a tidy table as arrays, every system in every task.

    Raises EtlchError when a column is missing or a system has two values for one task, metric and sample.
    """
    missing = [
        name for name in ("system", "base_model", "scale", "task", "sample", "metric", "value") if name not in tidy
    ]
    if missing:
        raise EtlchError(f"tidy table: no column {missing[0]!r} (found {', '.join(map(str, tidy.columns))})")
    systems = systems_of(tidy)["system"].tolist()
    result = []
    for task, part in tidy.groupby("task", sort=False, observed=True):
        metrics, samples = order_metrics(_names(part["metric"])), sorted(_names(part["sample"]))
        m, s, k = (_codes(part[key], names) for key, names in zip(_CELL, (metrics, samples, systems), strict=True))
        cell = (m * len(samples) + s) * len(systems) + k
        order = np.sort(cell)
        twice = order[:-1][order[1:] == order[:-1]]
        if twice.size:
            m0, rest = divmod(int(twice[0]), len(samples) * len(systems))
            s0, k0 = divmod(rest, len(systems))
            raise EtlchError(
                f"tidy table: system {systems[k0]!r} has more than one value for task {task!r}, metric {metrics[m0]!r}, "
                f"sample {samples[s0]!r} (expected one; two runs under one name?)"
            )
        values = np.full(len(metrics) * len(samples) * len(systems), np.nan)
        values[cell] = pd.to_numeric(part["value"], errors="coerce").to_numpy(dtype=float)
        values[~np.isfinite(values)] = np.nan
        present = np.zeros((len(samples), len(systems)), dtype=bool)
        present[s, k] = True
        shape = (len(metrics), len(samples), len(systems))
        result.append(Scores(str(task), systems, samples, metrics, values.reshape(shape), present))
    rank = {task: number for number, task in enumerate(tasks_of(tidy))}
    return sorted(result, key=lambda scores: rank[scores.task])


_CELL = ("metric", "sample", "system")


def _names(column: pd.Series) -> list[str]:
    return column.astype("category").cat.remove_unused_categories().cat.categories.astype(str).tolist()


def _codes(column: pd.Series, names: Sequence[str]) -> np.ndarray:
    """The place in `names` of each value of a column, without a string for each."""
    column = column.astype("category").cat
    place = {name: number for number, name in enumerate(names)}
    return np.array([place.get(str(name), -1) for name in column.categories], dtype=np.int64)[column.codes]


def scored_metrics(scores: Scores, rates: bool = False) -> list[str]:
    """The metrics to compare, in order: per-sample scores by their mean, pooled ones from their counts.

    Pooled are the micro F1 `<part>_f1` (also `_normalised` and `_partial`) and `faithfulness` (found and answered values
    summed); the means of the samples' own values are then called `<part>_f1_macro` and `faithfulness_macro`, as in
    eval.scores.Summary. `rates` adds `<part>_precision` and `<part>_recall`.
    """
    names = []
    for metric in scores.metrics:
        if metric not in _NOT_SCORES and not metric.endswith(_NOT_SCORE_ENDS):
            names.append(f"{metric}_macro" if metric in _POOLED else metric)
    pooled = [name for name in _POOLED if rates or not name.endswith(("_precision", "_recall"))]
    names += [name for name in pooled if set(_POOLED[name]) <= set(scores.metrics)]
    if "faithfulness" in scores.metrics and "faithfulness" not in names:
        names[names.index("faithfulness_macro")] = "faithfulness"
    return order_metrics(names)


_POOLED = {"faithfulness": ("faithful_found", "faithful_total", "faithfulness")}
for _part in PARTS:
    _pred, _gold = f"{_part}_pred", f"{_part}_gold"
    _POOLED[f"{_part}_precision"] = (f"{_part}_tp", _pred)
    _POOLED[f"{_part}_recall"] = (f"{_part}_tp", _gold)
    for _kind in ("", "_normalised", "_partial"):
        _POOLED[f"{_part}_f1{_kind}"] = (f"{_part}_tp{_kind}", _pred, _gold, f"{_part}_f1{_kind}")
"""Pooled metric -> the tidy metrics whose sums make it: (above, below), (found, answered, own) or (tp, pred, gold, own)."""


def _sources(scores: Scores, metric: str) -> tuple[str, ...]:
    """The tidy metrics that make a score: those of _POOLED where the task has them, else one whose mean it is."""
    sources = _POOLED.get(metric, ())
    return sources if sources and set(sources) <= set(scores.metrics) else (metric.removesuffix("_macro"),)


def _whole(scores: Scores, metric: str) -> np.ndarray:
    """sample x system: is there a value of everything that makes the score?"""
    return np.logical_and.reduce([np.isfinite(scores.of(source)) for source in _sources(scores, metric)])


def _statistic(sums: np.ndarray, n: int) -> np.ndarray:
    """The score from sums over samples (source first): mean, ratio, or micro F1 = 2 tp / (pred + gold).

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
    """How often each of n samples is drawn in each bootstrap resample, in blocks of rows (resample x sample)."""
    rng = np.random.default_rng(seed)
    for rows in _block_sizes(resamples, n):
        drawn = rng.integers(0, n, (rows, n))
        drawn += np.arange(rows)[:, None] * n
        yield np.bincount(drawn.ravel(), minlength=rows * n).reshape(rows, n).astype(float)


def _swaps(n: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Which samples change sides in each permutation (1 or 0), in blocks; all 2**n of them when n is small."""
    if n <= _EXACT_UP_TO:
        yield (np.arange(2**n)[:, None] >> np.arange(n) & 1).astype(float)
        return
    rng = np.random.default_rng(seed + 1)
    for rows in _block_sizes(resamples, n):
        yield rng.integers(0, 2, (rows, n)).astype(float)


def _block_sizes(resamples: int, n: int) -> list[int]:
    """Rows of each block. Above 30,000 samples fewer resamples (never under 999) give intervals as narrow in less time."""
    rows = min(resamples, max(999, resamples * 30_000 // n))
    size = max(1, min(rows, _CELLS // n))
    return [min(size, rows - start) for start in range(0, rows, size)]


@lru_cache(maxsize=6)
def _kept(
    blocks: Callable[[int, int, int], Iterator[np.ndarray]], n: int, resamples: int, seed: int
) -> list[np.ndarray]:
    return list(blocks(n, resamples, seed))


def _resampled(
    blocks: Callable[[int, int, int], Iterator[np.ndarray]], columns: np.ndarray, resamples: int, seed: int
) -> np.ndarray:
    """Sums over the resamples of a block maker: column x sample -> column x resample."""
    n = columns.shape[1]
    # small ones are drawn once for all tasks; large ones are drawn again, to bound memory
    made = _kept(blocks, n, resamples, seed) if n * resamples <= _CELLS else blocks(n, resamples, seed)
    return np.concatenate([columns @ block.T for block in made], axis=1)


class _Sampled:
    """Systems on the samples of a mask, where all the metrics asked for have values.

    All metrics are resampled together, once: they share their sources, and each system stands in many pairs.
    """

    def __init__(
        self,
        scores: Scores,
        mask: np.ndarray,
        members: Iterable[tuple[str, int]],
        resamples: int,
        seed: int,
    ):
        """members: the (metric, system) pairs that are asked for."""
        members = list(members)
        self.n = int(mask.sum())
        self.systems = sorted({system for _, system in members})
        self._of = {metric: _sources(scores, metric) for metric, _ in members}
        sources = list(dict.fromkeys(source for of in self._of.values() for source in of))
        self._first = {source: number * len(self.systems) for number, source in enumerate(sources)}
        # a system may lack a metric that nobody asks for here
        columns = np.nan_to_num(np.concatenate([scores.of(source)[mask][:, self.systems].T for source in sources]))
        self._columns, self._resamples, self._seed = columns, resamples, seed

    def _at(self, metric: str) -> np.ndarray:
        return np.array([self._first[source] + np.arange(len(self.systems)) for source in self._of[metric]])

    def values(self, metric: str) -> np.ndarray:
        """source x system x sample."""
        return self._columns[self._at(metric)]

    def drawn(self, metric: str) -> np.ndarray:
        """Sums over the bootstrap resamples: source x system x resample. The same samples are drawn for every system."""
        return self._drawn[self._at(metric)]

    def moved(self, metric: str) -> np.ndarray:
        """Sums over the samples that change sides: source x system x permutation."""
        return self._moved[self._at(metric)]

    @cached_property
    def _drawn(self) -> np.ndarray:
        return _resampled(_weights, self._columns, self._resamples, self._seed)

    @cached_property
    def _moved(self) -> np.ndarray:
        return _resampled(_swaps, self._columns, self._resamples, self._seed)


def _jackknife_acceleration(influence: np.ndarray) -> np.ndarray:
    """BCa acceleration from leave-one-out statistics (row: comparison, column: sample left out); NaN without variance."""
    centred = influence.mean(axis=1, keepdims=True) - influence
    square = (centred**2).sum(axis=1)
    flat = square <= _TINY**2
    return np.where(flat, np.nan, (centred**3).sum(axis=1) / (6 * np.where(flat, 1, square) ** 1.5))


def _bca(
    distribution: np.ndarray, observed: np.ndarray, acceleration: np.ndarray, level: float
) -> tuple[np.ndarray, np.ndarray]:
    """Bias-corrected and accelerated bootstrap interval (Efron 1987), as scipy.stats.bootstrap computes it.

    distribution: comparison x resample. A distribution without spread gives the observed value itself.
    """
    count = distribution.shape[1]
    below = (distribution < observed[:, None] - _TINY).sum(axis=1)
    up_to = (distribution <= observed[:, None] + _TINY).sum(axis=1)
    # a resample is never all on one side of the estimate unless it is degenerate; half a count keeps z0 finite
    share = np.clip((below + up_to) / (2 * count), 0.5 / count, 1 - 0.5 / count)
    z0 = special.ndtri(share)
    a = np.nan_to_num(acceleration)
    z = z0 + special.ndtri([[(1 - level) / 2], [(1 + level) / 2]])
    at = special.ndtr(z0 + z / (1 - a * z)) * (count - 1)
    floor = np.clip(np.floor(at).astype(int), 0, count - 1)
    above = np.minimum(floor + 1, count - 1)
    ends = np.empty(at.shape)
    for row, values in enumerate(distribution):
        lower, upper = floor[:, row], above[:, row]
        # the four values that are needed in their places: a third of the time that sorting takes
        values = np.partition(values, [*lower, *upper])
        ends[:, row] = values[lower] + (values[upper] - values[lower]) * (at[:, row] - lower)
    flat = distribution.max(axis=1) - distribution.min(axis=1) <= _TINY
    return np.where(flat, observed, ends[0]), np.where(flat, observed, ends[1])


# -- intervals of single systems ----------------------------------------------------------------------------------


def intervals(tidy: pd.DataFrame, *, level: float = 0.95, resamples: int = RESAMPLES, seed: int = 0) -> pd.DataFrame:
    """The score of each system on each task and metric with a BCa bootstrap interval over samples.

    Columns: system, base_model, scale, task, metric, n, no_value (samples without a value for the metric), score, low,
    high, note. A system without the task or metric has a row that says so. For metrics of 0 and 1, none or all of n gets
    Clopper and Pearson's exact interval.
    """
    systems = systems_of(tidy)
    about = {row.system: (row.base_model, row.scale) for row in systems.itertuples()}
    rows = []
    for scores in load_scores(tidy):
        wanted = list(itertools.product(scored_metrics(scores, rates=True), range(len(scores.systems))))
        whole = {metric: _whole(scores, metric) for metric, _ in wanted}
        for mask, members in _by_mask([whole[metric][:, k] for metric, k in wanted], wanted):
            sampled = _Sampled(scores, mask, members, resamples, seed)
            for metric, found in _grouped(members).items():
                low, high, score = _intervals(sampled, metric, level)
                for k in found:
                    present, number = int(scores.present[:, k].sum()), sampled.systems.index(k)
                    rows.append(
                        {
                            "system": scores.systems[k],
                            "base_model": about[scores.systems[k]][0],
                            "scale": about[scores.systems[k]][1],
                            "task": scores.task,
                            "metric": metric,
                            "n": sampled.n,
                            "no_value": present - sampled.n,
                            "score": score[number],
                            "low": low[number],
                            "high": high[number],
                            "note": _single_note(sampled.n, present),
                        }
                    )
    table = pd.DataFrame(rows)
    rank = {name: i for i, name in enumerate(systems["system"])}
    metric_rank = {name: i for i, name in enumerate(order_metrics(table["metric"]))}
    tasks = {name: i for i, name in enumerate(tasks_of(table))}
    keys = table["task"].map(tasks) * 10**6 + table["metric"].map(metric_rank) * 10**4 + table["system"].map(rank)
    return table.iloc[np.argsort(keys.to_numpy(), kind="stable")].reset_index(drop=True)


def _exact_when_certain(
    low: np.ndarray, high: np.ndarray, score: np.ndarray, n: int, level: float
) -> tuple[np.ndarray, np.ndarray]:
    """Clopper-Pearson's interval for none or all of n, where resampling cannot show any doubt."""
    doubt = 1 - ((1 - level) / 2) ** (1 / n) if n > 1 else np.nan
    return np.where(score == 1, 1 - doubt, low), np.where(score == 0, doubt, high)


def _single_note(n: int, whole: int) -> str:
    if not whole:
        return "no answers for this task"
    if not n:
        return "not computed"
    return "one sample: no interval" if n == 1 else ""


def _intervals(sampled: _Sampled, metric: str, level: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """low, high, score of a metric, each one a system."""
    n, values = sampled.n, sampled.values(metric)
    nothing = np.full(values.shape[1], np.nan)
    if n == 0:
        return nothing, nothing, nothing
    sums = values.sum(axis=2)
    observed = _statistic(sums, n)
    if n > 1:
        left_out = _statistic(sums[..., None] - values, n - 1)
        distribution = _statistic(sampled.drawn(metric), n)
        low, high = _bca(distribution, observed, _jackknife_acceleration(left_out), level)
    else:
        low = high = nothing
    if metric in BINARY:
        low, high = _exact_when_certain(low, high, observed, n, level)
    return low, high, observed


def _by_mask(masks: Iterable[np.ndarray], members: Iterable[Member]) -> Iterator[tuple[np.ndarray, list[Member]]]:
    """Put members with equal masks together, in order of first appearance."""
    groups: dict[bytes, list[Member]] = defaultdict(list)
    for mask, member in zip(masks, members, strict=True):
        groups[mask.tobytes()].append(member)
    for key, group in groups.items():
        yield np.frombuffer(key, dtype=bool), group


def _grouped(members: Iterable[tuple[str, int]]) -> dict[str, list[int]]:
    """metric -> systems, from pairs of both."""
    groups: dict[str, list[int]] = defaultdict(list)
    for metric, system in members:
        groups[metric].append(system)
    return groups


# -- pairs --------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Job:
    """One comparison to be computed: metric and the columns of two systems."""

    task: str
    metric: str
    a: int
    b: int
    row: dict[str, Any] = field(default_factory=dict)


def comparisons(
    tidy: pd.DataFrame,
    *,
    pairs: Iterable[tuple[str, str]] | None = None,
    metrics: Iterable[str] | None = None,
    level: float = 0.95,
    alpha: float = 0.05,
    power: float = 0.8,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> pd.DataFrame:
    """Every pair of systems on every task and metric, on the samples that both have.

    Columns: task, metric, a, b, n (common samples with a value), n_a, n_b (samples of each), score_a, score_b,
    difference (a - b), low, high (paired BCa bootstrap); p_permutation (paired, two-sided), p_wilcoxon, rank_biserial
    (matched pairs, Kerby 2014: (sum of ranks for a - for b) / sum), cliffs_delta; for metrics of 0 and 1 also
    p_mcnemar (exact), p_z (two proportions, pooled), p_fisher (two-sided); p (the test that decides: exact McNemar for
    metrics of 0 and 1, else the permutation test), family, family_size, p_holm, verdict (`a`, `b`, `undecided` or
    `untested`), samples_needed, note.

    A family is one task and metric over all pairs compared; p_holm is Holm's adjusted p within it. samples_needed is
    the number of samples at which a two-sided paired test at alpha / family_size has the given power if the difference
    seen is the true one; it is given for undecided comparisons only. The micro F1 (`<part>_f1`) is resampled and
    permuted over samples of counts; rank tests do not apply to it.
    """
    names = systems_of(tidy)["system"].tolist()
    chosen = [(b, a) for a, b in itertools.combinations(names, 2)] if pairs is None else list(pairs)
    for name in sorted({name for pair in chosen for name in pair} - set(names)):
        raise EtlchError(f"no system {name!r} in the scores (expected one of {', '.join(names)})")
    wanted = None if metrics is None else set(metrics)
    rows: list[dict[str, Any]] = []
    for scores in load_scores(tidy):
        listed = [name for name in scored_metrics(scores) if wanted is None or name in wanted]
        jobs = [
            _Job(scores.task, metric, scores.systems.index(a), scores.systems.index(b))
            for metric in listed
            for a, b in chosen
        ]
        _run(scores, jobs, level, resamples, seed)
        rows += [job.row for job in jobs]
    _adjust(rows, alpha, power)
    return pd.DataFrame(rows, columns=_COLUMNS)


_COLUMNS = [
    "task",
    "metric",
    "a",
    "b",
    "n",
    "n_a",
    "n_b",
    "score_a",
    "score_b",
    "difference",
    "low",
    "high",
    "p_permutation",
    "p_wilcoxon",
    "rank_biserial",
    "cliffs_delta",
    "p_mcnemar",
    "p_z",
    "p_fisher",
    "p",
    "family",
    "family_size",
    "p_holm",
    "verdict",
    "samples_needed",
    "note",
]


def _run(scores: Scores, jobs: list[_Job], level: float, resamples: int, seed: int) -> None:
    """Fill the rows of all comparisons of one task; jobs on the same samples are resampled together."""
    whole = {metric: _whole(scores, metric) for metric in dict.fromkeys(job.metric for job in jobs)}
    masks = [whole[job.metric][:, job.a] & whole[job.metric][:, job.b] for job in jobs]
    for job, mask in zip(jobs, masks, strict=True):
        common = int((scores.present[:, job.a] & scores.present[:, job.b]).sum())
        job.row = {
            "task": job.task,
            "metric": job.metric,
            "a": scores.systems[job.a],
            "b": scores.systems[job.b],
            "n": int(mask.sum()),
            "n_a": int(scores.present[:, job.a].sum()),
            "n_b": int(scores.present[:, job.b].sum()),
            "family": f"{job.task}, {job.metric}",
            "note": _pair_note(scores, job, whole[job.metric], int(mask.sum()), common),
        }
    for mask, group in _by_mask(masks, jobs):
        if mask.any():
            members = [(job.metric, system) for job in group for system in (job.a, job.b)]
            sampled = _Sampled(scores, mask, members, resamples, seed)
            for metric in dict(members):
                _fill([job for job in group if job.metric == metric], sampled, level)


def _pair_note(scores: Scores, job: _Job, found: np.ndarray, n: int, common: int) -> str:
    sides = ((scores.systems[job.a], job.a), (scores.systems[job.b], job.b))
    absent = [name for name, k in sides if not scores.present[:, k].any()]
    if absent:
        return f"{' and '.join(absent)}: no answers for this task"
    empty = [name for name, k in sides if not found[:, k].any()]
    if empty:
        return f"{' and '.join(empty)}: not computed"
    notes = []
    sizes = [int(scores.present[:, k].sum()) for _, k in sides]
    if common < max(sizes):
        notes.append(f"different test sets: {common} common samples of {sizes[0]} and {sizes[1]}")
    if n < common:
        notes.append(f"{common - n} common samples without a value")
    if n == 1:
        notes.append("one sample: no interval, no test")
    return "; ".join(notes)


def _fill(jobs: list[_Job], sampled: _Sampled, level: float) -> None:
    """The numbers of all comparisons of one metric on the same samples."""
    metric, n = jobs[0].metric, sampled.n
    values = sampled.values(metric)
    sides = np.array([[sampled.systems.index(job.a), sampled.systems.index(job.b)] for job in jobs]).T
    a, b = values[:, sides[0]], values[:, sides[1]]
    single = _statistic(values.sum(axis=2), n)
    observed = single[sides[0]] - single[sides[1]]
    columns: dict[str, np.ndarray] = {"score_a": single[sides[0]], "score_b": single[sides[1]], "difference": observed}
    equal = (a == b).all(axis=(0, 2))
    if n > 1:
        columns |= _bootstrap(sampled, metric, sides, observed, level)
        columns["p_permutation"] = _permutation(sampled, metric, sides, observed)
        if len(values) == 1:
            columns["p_wilcoxon"], columns["rank_biserial"] = _signed_ranks((a[0] - b[0]).T)
            columns["cliffs_delta"] = _cliffs_delta(a[0], b[0])
    for number, job in enumerate(jobs):
        job.row |= {name: float(column[number]) for name, column in columns.items()}
        job.row["p"] = job.row.get("p_permutation", np.nan)
        if metric in BINARY and n > 1:
            job.row |= binary_tests(a[0, number], b[0, number])
            job.row["p"] = job.row["p_mcnemar"]
        if equal[number]:
            zero = len(values) == 1 and not a[0, number].any()
            what = "all scores zero" if zero else "equal on every sample"
            job.row["note"] = "; ".join(filter(None, [str(job.row["note"]), what]))


def _bootstrap(
    sampled: _Sampled, metric: str, sides: np.ndarray, observed: np.ndarray, level: float
) -> dict[str, np.ndarray]:
    """Paired bootstrap over samples: interval of the difference, and its standard deviation for one sample."""
    n, values = sampled.n, sampled.values(metric)
    drawn = _statistic(sampled.drawn(metric), n)
    distribution = drawn[sides[0]] - drawn[sides[1]]
    left = _statistic(values.sum(axis=2)[..., None] - values, n - 1)
    left_out = left[sides[0]] - left[sides[1]]
    if len(values) == 1:
        spread = (values[0, sides[0]] - values[0, sides[1]]).std(axis=1, ddof=1)
    else:
        spread = distribution.std(axis=1, ddof=1) * np.sqrt(n)
    low, high = _bca(distribution, observed, _jackknife_acceleration(left_out), level)
    return {"low": low, "high": high, "spread": spread}


def _permutation(sampled: _Sampled, metric: str, sides: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """Two-sided paired permutation test: the systems' answers change sides sample by sample.

    All 2**n permutations for n <= 13, else random ones with (hits + 1) / (permutations + 1).
    """
    n, moved = sampled.n, sampled.moved(metric)
    stayed = sampled.values(metric).sum(axis=2)[..., None] - moved
    if len(moved) == 1:
        lead = (stayed - moved)[0]
        statistic = (lead[sides[0]] - lead[sides[1]]) / n
    else:
        statistic = _statistic(stayed[:, sides[0]] + moved[:, sides[1]], n)
        statistic -= _statistic(stayed[:, sides[1]] + moved[:, sides[0]], n)
    hits = (np.abs(statistic) >= np.abs(observed)[:, None] - _TINY).sum(axis=1)
    if n <= _EXACT_UP_TO:
        return hits / 2**n
    return (hits + 1) / (statistic.shape[1] + 1)


def _signed_ranks(difference: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Wilcoxon signed-rank p (two-sided, zeros left out) and matched-pairs rank-biserial correlation, one a column.

    p is exact up to 50 differences without ties, else by the normal approximation without continuity correction, as
    scipy.stats.wilcoxon chooses. Without any difference p is 1 and the correlation 0.
    """
    # 0.7 - 0.6 and 0.5 - 0.4 are ties, whatever binary fractions make of them
    difference = np.round(difference, 12)
    ranks = scipy_stats.rankdata(np.abs(difference), axis=0)
    # zeros take the lowest ranks together, so leaving them out lowers every other rank by their number
    ranks = ranks - (difference == 0).sum(axis=0)
    plus = np.where(difference > 0, ranks, 0).sum(axis=0)
    minus = np.where(difference < 0, ranks, 0).sum(axis=0)
    whole = plus + minus
    some = whole > 0
    correlation = np.where(some, (plus - minus) / np.where(some, whole, 1), 0.0)
    # the variance of the statistic is a quarter of the sum of squared ranks, ties included
    square = np.where(difference == 0, 0, ranks**2).sum(axis=0)
    p = np.where(some, 2 * special.ndtr(-np.abs(plus - minus) / np.sqrt(np.where(some, square, 1))), 1.0)
    for number in np.flatnonzero(some & ((difference != 0).sum(axis=0) <= 50)):
        column = difference[:, number]
        column = column[column != 0]
        if len(np.unique(np.abs(column))) == len(column):
            p[number] = scipy_stats.wilcoxon(column, method="exact").pvalue
    return p, correlation


def _cliffs_delta(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cliff's delta, P(a > b) - P(a < b) over all pairs of samples (Cliff 1993), one a row."""
    result = np.empty(len(a))
    for number, (row, other) in enumerate(zip(a, np.sort(b, axis=1), strict=True)):
        less = np.searchsorted(other, row, side="left").sum()
        more = (len(row) - np.searchsorted(other, row, side="right")).sum()
        result[number] = (less - more) / len(row) ** 2
    return result


def binary_tests(a: np.ndarray, b: np.ndarray) -> dict[str, float]:
    """Exact McNemar (paired), two-proportion z-test (pooled) and Fisher's exact test (both unpaired), two-sided.

    a, b: 0 or 1 for each of the same samples. When both are all 0 or all 1 the z-test has no variance; its p is 1.
    """
    only_a, only_b = int(((a > 0) & (b <= 0)).sum()), int(((a <= 0) & (b > 0)).sum())
    yes_a, yes_b = int((a > 0).sum()), int((b > 0).sum())
    return {
        "p_mcnemar": mcnemar_exact(only_a, only_b),
        "p_z": two_proportion_z(yes_a, len(a), yes_b, len(b)),
        "p_fisher": fisher_exact(yes_a, len(a), yes_b, len(b)),
    }


def mcnemar_exact(only_a: int, only_b: int) -> float:
    """Exact two-sided McNemar test from the two discordant counts; 1 when there are none."""
    whole = only_a + only_b
    return float(min(1.0, 2 * scipy_stats.binom.cdf(min(only_a, only_b), whole, 0.5))) if whole else 1.0


def two_proportion_z(yes_a: int, n_a: int, yes_b: int, n_b: int, alternative: str = "two-sided") -> float:
    """p of the pooled two-proportion z-test; `larger` asks whether a's share is the larger one. 1 without variance."""
    pooled = (yes_a + yes_b) / (n_a + n_b)
    variance = pooled * (1 - pooled) * (1 / n_a + 1 / n_b)
    if variance <= 0:
        return 1.0
    z = (yes_a / n_a - yes_b / n_b) / np.sqrt(variance)
    return float(special.ndtr(-z) if alternative == "larger" else 2 * special.ndtr(-abs(z)))


def fisher_exact(yes_a: int, n_a: int, yes_b: int, n_b: int, alternative: str = "two-sided") -> float:
    """p of Fisher's exact test on successes out of n; `larger` asks whether a's share is the larger one."""
    table = [[yes_a, n_a - yes_a], [yes_b, n_b - yes_b]]
    kind = "greater" if alternative == "larger" else "two-sided"
    return float(scipy_stats.fisher_exact(table, alternative=kind).pvalue)


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


def samples_needed(difference: float, spread: float, alpha: float = 0.05, power: float = 0.8) -> float:
    """Samples for a two-sided paired test to find this mean difference with this power; inf for no difference.

    n = ((z(1 - alpha/2) + z(power)) * spread / difference)^2, spread being the standard deviation of the paired
    differences. It supposes that the difference seen is the true one, so it is a rough guide.
    """
    if not difference:
        return float("inf")
    z = special.ndtri(1 - alpha / 2) + special.ndtri(power)
    return float(np.ceil((z * spread / difference) ** 2))


def _adjust(rows: list[dict[str, Any]], alpha: float, power: float) -> None:
    """Fill family_size, p_holm, verdict and samples_needed."""
    families: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        families[str(row["family"])].append(row)
    for family in families.values():
        adjusted = holm([row.get("p", np.nan) for row in family])
        size = int(np.isfinite(adjusted).sum())
        for row, p in zip(family, adjusted, strict=True):
            row |= {"family_size": size, "p_holm": p, "verdict": _verdict(p, row, alpha)}
            if row["verdict"] == "undecided" and abs(row["difference"]) > _TINY and row["spread"] > 0:
                needed = samples_needed(row["difference"], row["spread"], alpha / size, power)
                row["samples_needed"] = max(needed, row["n"] + 1)


def _verdict(p: float, row: dict[str, Any], alpha: float) -> str:
    if not np.isfinite(p):
        return "untested"
    if p >= alpha or not row["difference"]:
        return "undecided"
    return "a" if row["difference"] > 0 else "b"


# -- how much data is enough --------------------------------------------------------------------------------------


def enough_data(
    tidy: pd.DataFrame,
    *,
    margin: float = 0.02,
    metrics: Iterable[str] | None = None,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> pd.DataFrame:
    """The smallest scale that is not worse than the largest one by more than `margin`, for each base model.

    A scale is non-inferior when the lower end of the one-sided `level` bootstrap bound of (scale - largest) is above
    -margin. `enough` marks the smallest scale that is non-inferior and above which every scale is too. Columns:
    base_model, task, metric, scale, system, largest, n, score, difference, bound, margin, non_inferior, enough, note.
    The largest scale is non-inferior to itself; where it alone is, more data may still help.
    """
    systems = systems_of(tidy)
    tuned = systems[systems["scale"] > 0]
    rows: list[dict[str, Any]] = []
    for base, part in tuned.groupby("base_model", sort=False):
        rows += _enough_for(tidy, str(base), part, margin, metrics, level, resamples, seed)
    return pd.DataFrame(rows, columns=_ENOUGH)


_ENOUGH = [
    "base_model",
    "task",
    "metric",
    "scale",
    "system",
    "largest",
    "n",
    "score",
    "difference",
    "bound",
    "margin",
    "non_inferior",
    "enough",
    "note",
]


def _enough_for(
    tidy: pd.DataFrame,
    base: str,
    part: pd.DataFrame,
    margin: float,
    metrics: Iterable[str] | None,
    level: float,
    resamples: int,
    seed: int,
) -> list[dict[str, Any]]:
    twice = part[part["scale"].duplicated()]
    if len(twice):
        names = part[part["scale"] == twice["scale"].iloc[0]]["system"].tolist()
        raise EtlchError(
            f"systems {' and '.join(names)} are both {base!r} at scale {twice['scale'].iloc[0]} (expected one a scale; "
            "name the base models apart)"
        )
    ladder = part.sort_values("scale")
    largest = ladder.iloc[-1]
    if len(ladder) == 1:
        return []
    # 2 * level - 1: the lower end of a two-sided 90% interval is the one-sided 95% bound
    table = comparisons(
        tidy[tidy["system"].isin(ladder["system"])],
        pairs=[(name, largest["system"]) for name in ladder["system"][:-1]],
        metrics=metrics,
        level=2 * level - 1,
        resamples=resamples,
        seed=seed,
    )
    scale = dict(zip(ladder["system"], ladder["scale"], strict=True))
    rows: list[dict[str, Any]] = []
    for (task, metric), group in table.groupby(["task", "metric"], sort=False):
        flat = bool(group["score_b"].eq(0).all() and group["score_a"].eq(0).all())
        block = [
            {
                "scale": scale[row.a],
                "system": row.a,
                "n": row.n,
                "score": row.score_a,
                "difference": row.difference,
                "bound": row.low,
                "non_inferior": bool(row.low >= -margin),
                "note": row.note,
            }
            for row in group.itertuples()
        ]
        block.append(
            {
                "scale": int(largest["scale"]),
                "system": largest["system"],
                "n": int(group["n"].max()),
                "score": group["score_b"].iloc[-1],
                "difference": 0.0,
                "bound": 0.0,
                "non_inferior": True,
                "note": "",
            }
        )
        start = next(i for i in range(len(block)) if all(row["non_inferior"] for row in block[i:]))
        for number, row in enumerate(block):
            row |= {
                "base_model": base,
                "task": task,
                "metric": metric,
                "largest": int(largest["scale"]),
                "margin": margin,
            }
            row["enough"] = number == start and not flat
            if flat:
                row["note"] = "all scores zero: nothing was learned, so this says nothing about data"
        rows += block
    return rows
