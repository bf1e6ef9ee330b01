"""How true the verdict is: studies with known scores are simulated, and the package's own rule decides them.

    PYTHONPATH=. python scripts/bench/verdict.py [--studies 2000] [--processes 2] [--only equal ...]

A configuration has a true score, a noise from seed to seed (sd 0.02 to 0.04, correlated by 0 to 0.3 between configurations
on one seed) and an effect on each of 60 validation images, which no seed removes; a seed has effects of its own on the
images. As in a study, a screening with one seed of 20 configurations, on the same images, chooses the finalists.
"""

import argparse
import gc
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from functools import partial

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")

import numpy as np
from scipy import stats
from statsmodels.stats import multitest, proportion  # noqa: F401

from tune_seg.image_counts import ImageCounts, Reliability
from tune_seg.study.verdict import Contender, Kind, Repeat, Verdict, compare, decide
from tune_seg.study.verdict.contender import bootstrap_weights
from tune_seg.study.verdict.rounds import next_round

METRIC = "accuracy"
MARGIN = 0.01
PIXELS = 10**6
IMAGES = 60
SCREENED = 20
MOST = 20
SEED_AND_IMAGE = 0.05
"""Standard deviation of what one seed does to one image."""
SIZES = ((1, 40), (3, 12), (3, 40), (4, 60))
"""Finalists and trainings for them and the reference."""
SEEDS = (3, 5, 8, 12, 20)
CONFIRMATIONS = {  # sd of the true scores, noise of the reference times, correlation of all others
    "equal": (0.0, 1.0, 0.0),
    "unequal": (0.02, 1.0, 0.0),
    "noisy": (0.0, 2.5, 0.0),
    "alike": (0.0, 1.0, 0.97),
    "alike-noisy": (0.0, 2.0, 0.9),
}
ROWS = [*CONFIRMATIONS, "margin", "power", "bootstrap"]


class Study:
    """Configurations with known scores, of which the first is the reference, and their trainings.

    All but the reference may be alike: what a seed does to one of them, and the choice of the images, it does to the others,
    with this correlation.
    """

    def __init__(
        self,
        generator: np.random.Generator,
        truths: np.ndarray,
        image_se: float,
        noise_of_reference: float = 1.0,
        alike: float = 0.0,
    ) -> None:
        self.truths, count = truths, len(truths)
        self.sd = generator.uniform(0.02, 0.04, count)
        self.sd[0] *= noise_of_reference
        rho = generator.uniform(0.0, 0.3)
        shared = np.sqrt(rho) * generator.standard_normal(MOST + 1)
        noise = shared + np.sqrt(1 - rho) * generator.standard_normal((count, MOST + 1))
        # what single images do to a seed is part of its noise
        self.noise = noise * np.sqrt(self.sd**2 - SEED_AND_IMAGE**2 / IMAGES)[:, None]
        self.images = generator.normal(0.0, image_se / np.sqrt(2) * np.sqrt(IMAGES), (count, IMAGES))
        if alike:
            for table in (self.noise, self.images):
                spread = table[1:].std()
                common = spread * generator.standard_normal(table.shape[1])
                table[1:] = np.sqrt(alike) * common + np.sqrt(1 - alike) * table[1:]
        self.generator = generator

    def screen(self, finalists: int) -> list[int]:
        """The finalists, the best first, after one seed of each configuration."""
        own = self.generator.normal(0.0, SEED_AND_IMAGE / np.sqrt(IMAGES), len(self.truths))
        scores = self.truths + self.noise[:, MOST] + self.images.mean(axis=1) + own
        return [int(each) + 1 for each in np.argsort(-scores[1:])[:finalists]]

    def train(self, configuration: int, seed: int) -> Repeat:
        own = self.generator.normal(0.0, SEED_AND_IMAGE, IMAGES)
        shares = self.truths[configuration] + self.noise[configuration, seed] + self.images[configuration] + own
        hits = np.round(PIXELS * np.clip(shares, 0, 1)).astype(np.int64)[:, None]
        truths = np.full_like(hits, PIXELS)
        nothing = Reliability(np.zeros((IMAGES, 1), np.int64), np.zeros((IMAGES, 1)))
        counts = ImageCounts(hits, truths, hits, nothing, nothing)
        return Repeat(seed, None, {METRIC: float(hits.mean() / PIXELS)}, counts)

    def contenders(self, chosen: Iterable[int]) -> list[Contender]:
        return [Contender(str(each), str(each), (each,), {}) for each in (0, *chosen)]


def confirm(
    finalists: int, budget: int, image_se: float, truth_sd: float, noise_of_reference: float, alike: float, number: int
) -> tuple[float, ...]:
    """A whole confirmation, round by round.

    Returns:
        whether it said better at the end, falsely at the end, falsely at any look, indistinguishable, whether shown and
        decisive interval have the truth, seeds of the pair, trainings.
    """
    generator = np.random.default_rng([finalists, budget, round(image_se * 1e4), round(truth_sd * 1e4), number])
    truths = 0.6 + truth_sd * generator.standard_normal(SCREENED)
    study = Study(generator, truths, image_se, noise_of_reference, alike)
    contenders = study.contenders(study.screen(finalists))
    repeats = {each.id: each.repeats for each in contenders}
    left, ever = budget, False
    rule = {"margin": MARGIN, "confidence": 0.95}
    while trainings := next_round(contenders, "0", METRIC, budget=left, max_seeds=MOST, seeds=range(MOST), **rule):
        for id, seed, fold in trainings:
            repeats[id][seed, fold] = study.train(int(id), seed)  # type: ignore[index]
        left -= len(trainings)
        looked = truth_sd == 0 and _false(decide(contenders, "0", METRIC, **rule), truths)
        ever = ever or looked
    verdict = decide(contenders, "0", METRIC, **rule)
    true = truths[int(verdict.best)] - truths[int(verdict.other)]
    better = verdict.kind is Kind.BETTER
    found = verdict.difference, verdict.decisive
    covered = [each.low <= true <= each.high for each in found]
    return (
        better,
        _false(verdict, truths),
        ever,
        verdict.kind is Kind.INDISTINGUISHABLE,
        *covered,
        found[0].n,
        budget - left,
    )


def _false(verdict: Verdict, truths: np.ndarray) -> bool:
    return verdict.kind is Kind.BETTER and truths[int(verdict.best)] <= truths[int(verdict.other)]


def power(difference: float, image_se: float, number: int) -> tuple[float, ...]:
    """One finalist of three is better than the others and the reference by so many noise standard deviations.

    Returns:
        for each number of seeds, whether the verdict is that this one is better, or any where none is; whether a t test on
        three seeds of the one with the best mean says so, and whether it has the best single run; whether these two claim
        anything.
    """
    generator = np.random.default_rng([round(difference * 10), round(image_se * 1e4), number])
    study = Study(generator, np.full(4, 0.6), image_se)
    study.truths[1] += difference * np.sqrt((study.sd[0] ** 2 + study.sd[1] ** 2) / 2)
    full = study.contenders([1, 2, 3])
    trained = {each.id: [study.train(int(each.id), seed) for seed in range(MOST)] for each in full}
    said = []
    for n in SEEDS:
        some = [Contender(each.id, each.name, each.simplicity, {r.key: r for r in trained[each.id][:n]}) for each in full]
        verdict = decide(some, "0", METRIC, margin=MARGIN)
        said.append(verdict.kind is Kind.BETTER and (verdict.best == "1" or difference == 0))
    scores = np.array([[repeat.scores[METRIC] for repeat in trained[each.id][:3]] for each in full])
    best = int(np.argmax(scores.mean(axis=1)))
    other = 0 if best else 1 + int(np.argmax(scores[1:].mean(axis=1)))
    claims = bool(stats.ttest_rel(scores[best], scores[other]).pvalue < 0.05)
    single = int(np.argmax(scores[:, 0]))
    return (*said, claims and best == 1, single == 1, claims, single != 0)


def bootstrap(image_se: float, number: int) -> tuple[float, ...]:
    """A pair that nothing selected: whether a percentile bootstrap over seeds and images, and `compare`, have the truth.

    Returns:
        both for each number of seeds.
    """
    generator = np.random.default_rng([round(image_se * 1e4), number])
    study = Study(generator, np.full(2, 0.6), image_se)
    trained = [[study.train(which, seed) for seed in range(10)] for which in (0, 1)]
    weights = bootstrap_weights(IMAGES, None) / IMAGES
    rows = []
    for n in (3, 5, 10):
        one, other = (Contender(str(i), "", (), {r.key: r for r in each[:n]}) for i, each in enumerate(trained))
        values = np.array([a.resampled(METRIC) - b.resampled(METRIC) for a, b in zip(*trained, strict=True)][:n])
        drawn = generator.integers(0, n, (len(weights), n))
        low, high = np.quantile(values[drawn, np.arange(len(weights))[:, None]].mean(axis=1), [0.025, 0.975])
        found = compare(one, other, METRIC)
        rows += [low <= 0 <= high, found.low <= 0 <= found.high]
    return tuple(rows)


def alike(difference: float, image_se: float, margin: float, number: int) -> tuple[float, ...]:
    """Two configurations and the reference, of which one is better than the others.

    Returns:
        for each number of seeds, whether the verdict is that they are indistinguishable within the margin.
    """
    generator = np.random.default_rng([round(difference * 1e4), round(image_se * 1e4), number])
    study = Study(generator, np.array([0.6, 0.6 + difference, 0.6]), image_se)
    full = study.contenders([1, 2])
    trained = {each.id: [study.train(int(each.id), seed) for seed in range(MOST)] for each in full}
    said = []
    for n in SEEDS:
        some = [Contender(each.id, each.name, each.simplicity, {r.key: r for r in trained[each.id][:n]}) for each in full]
        said.append(decide(some, "0", METRIC, margin=margin).kind is Kind.INDISTINGUISHABLE)
    return tuple(said)


def share(values: np.ndarray) -> str:
    """A share of studies with its 95 % interval (Wilson), in per cent."""
    low, high = proportion.proportion_confint(values.sum(), len(values), method="wilson")
    return f"{values.mean():.1%} [{low:.1%}, {high:.1%}]".replace("%", "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=2000)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--only", nargs="+", default=ROWS)
    given = parser.parse_args()
    gc.freeze()  # multipletests collects garbage at every call, which costs more than all else
    with ProcessPoolExecutor(given.processes, initializer=gc.freeze) as pool:

        def run(cell: Callable[[int], tuple[float, ...]]) -> np.ndarray:
            return np.array(list(pool.map(cell, range(given.studies), chunksize=25)), dtype=float)

        for name in CONFIRMATIONS:
            if name in given.only:
                _confirmations(run, name)
        if "margin" in given.only:
            _margin(run)
        if "power" in given.only:
            _power(run)
        if "bootstrap" in given.only:
            _bootstrap(run)


def _confirmations(run: Callable[..., np.ndarray], name: str) -> None:
    truth_sd, noise_of_reference, similar = CONFIRMATIONS[name]
    print(
        f"\n{name}: sd of the true scores {truth_sd}, noise of the reference times {noise_of_reference}, others {similar}\n"
    )
    print("| finalists, budget | se images | better | false | at any look | equal | shown | decisive | seeds | trained |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for finalists, budget in SIZES if name in ("equal", "unequal") else [(3, 40)]:
        for image_se in (0.005, 0.015):
            found = run(partial(confirm, finalists, budget, image_se, truth_sd, noise_of_reference, similar))
            better, false, ever, alike, shown, decisive, seeds, trained = found.T
            any_look = "" if truth_sd else share(ever)
            print(
                f"| {finalists}, {budget} | {image_se} | {better.mean():.1%} | {share(false)} | {any_look} "
                f"| {alike.mean():.1%} | {share(shown)} | {share(decisive)} | {seeds.mean():.1f} | {trained.mean():.1f} |",
                flush=True,
            )


def _margin(run: Callable[..., np.ndarray]) -> None:
    print("\n| true difference | margin | se images |" + "".join(f" {n} seeds |" for n in SEEDS))
    print("| --- |" + " --- |" * (len(SEEDS) + 2))
    for margin, image_se in ((0.04, 0.005), (0.04, 0.01)):
        for difference in (0.0, margin):
            rates = " | ".join(f"{rate:.1%}" for rate in run(partial(alike, difference, image_se, margin)).mean(axis=0))
            print(f"| {difference} | {margin} | {image_se} | {rates} |", flush=True)


def _power(run: Callable[..., np.ndarray]) -> None:
    print("\none finalist of three better by so many noise standard deviations\n")
    print("| difference | se images |" + "".join(f" {n} seeds |" for n in SEEDS) + " t test, 3 seeds | best single run |")
    print("| --- |" + " --- |" * (len(SEEDS) + 3))
    for image_se in (0.01,):
        for difference in (0.0, 1.0, 2.0, 3.0):
            found = run(partial(power, difference, image_se))
            rates = [f"{rate:.1%}" for rate in found.mean(axis=0)]
            columns = rates[: len(SEEDS)] + (rates[-4:-2] if difference else rates[-2:])
            print(f"| {difference:g} | {image_se} | " + " | ".join(columns) + " |", flush=True)


def _bootstrap(run: Callable[..., np.ndarray]) -> None:
    print("\n| se images | seeds | percentile bootstrap over seeds and images | compare |\n| --- | --- | --- | --- |")
    for image_se in (0.005, 0.015):
        found = run(partial(bootstrap, image_se))
        for index, n in enumerate((3, 5, 10)):
            print(f"| {image_se} | {n} | {share(found[:, 2 * index])} | {share(found[:, 2 * index + 1])} |", flush=True)


if __name__ == "__main__":
    main()
