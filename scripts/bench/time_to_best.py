"""How soon ours finds what the other system finds in its whole budget: `loss_schedule.yaml`, the same wall time for both.

    PYTHONPATH=. python scripts/bench/time_to_best.py --data CAMVID --out DIR --budget SECONDS

Both search the space of `search_spaces/loss_schedule.yaml` with TPE, after the same two baselines, and stop bad trials
early: ours as the preset says, `naive_ray_tune.py` by Ray's ASHA with the same grace period and reduction factor.
Model, data, epochs and slots are those of `study.py`.

The clock of each starts with its process. Ours is interrupted as by Ctrl-C when the budget is over. The other is given
the whole budget as Tune's `time_budget_s`, which begins only after Ray's start, and what it reports later than the
budget is left out, as it is for ours.

Score: the largest s_rec of any completed epoch of any trial, whether the trial went on or not;
the same for both. The time of an epoch is when the trial reported it (naive), or when MLflow was sent it (ours): the
tracker sends as results arrive, and some seconds later while it connects, so that ours can only look slower than it is.

TPE is a matter of luck: give several `--seed`s. The aim is a quarter of the budget.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from time import time

import contenders
from mlflow import MlflowClient

Report = tuple[float, float]
"""An epoch: seconds since the start of the process, and its s_rec."""


def run_ours(options: argparse.Namespace) -> list[Report]:
    settings = {
        "data.size": options.size,
        "data.max_train": options.max_train,
        "data.max_val": options.max_val,
        "model.architecture": "Unet",
        "search.seed": options.seed,
    }
    arguments = ["loss_schedule", "--data", str(options.data.absolute()), "--epochs", str(options.epochs)]
    # more trials than the budget allows
    arguments += ["--trials", "1000", "--max-concurrent", str(options.slots), "--cpus-per-trial", "1"]
    arguments += [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    started = time()
    contenders.run_ours(options, arguments, options.budget)
    client = MlflowClient(f"sqlite:///{options.out / 'ours' / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("ours")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], max_results=10_000)
    history = [point for run in runs for point in client.get_metric_history(run.info.run_id, "s_rec")]
    return _within(options.budget, [(point.timestamp / 1000 - started, point.value) for point in history])


def run_naive(options: argparse.Namespace) -> list[Report]:
    started = time()
    budget = ["--time-budget", str(options.budget), "--early-stopping", "--seed", str(options.seed)]
    contenders.run_naive(options, budget)
    trials = json.loads((options.out / "naive" / "results.json").read_text())
    return _within(
        options.budget, [(epoch["reported_at"] - started, epoch["s_rec"]) for trial in trials for epoch in trial["epochs"]]
    )


def _within(budget: float, reports: Sequence[Report]) -> list[Report]:
    return sorted(report for report in reports if report[0] <= budget)


def best(reports: Sequence[Report], until: float) -> float:
    return max((score for seconds, score in reports if seconds <= until), default=float("nan"))


def first(reports: Sequence[Report], target: float) -> float | None:
    return next((seconds for seconds, score in reports if score >= target), None)


def main() -> None:
    parser = contenders.parser("Time until ours reaches the final best s_rec of a docs-style search.")
    parser.add_argument("--budget", type=float, default=280.0, metavar="SECONDS", help="wall time of each")
    parser.add_argument("--seed", type=int, default=0, help="of both samplers")
    options = parser.parse_args()
    order = contenders.begin(options)
    runs: dict[str, Callable[[argparse.Namespace], list[Report]]] = {"ours": run_ours, "naive": run_naive}
    reports = {name: runs[name](options) for name in order}
    ours, naive = reports["ours"], reports["naive"]
    if not naive:
        sys.exit("naive completed no epoch within the budget; give more of it")
    target = best(naive, options.budget)

    print(f"\nbudget {options.budget:g} s, {options.slots} slots; run in this order: {', '.join(order)}")
    print(f"{'':34}{'ours':>10}{'naive':>10}")
    print(f"{'epochs completed':34}{len(ours):>10}{len(naive):>10}")
    for share in (0.1, 0.25, 0.5, 0.75, 1.0):
        scores = [best(side, share * options.budget) for side in (ours, naive)]
        print(f"{f'best s_rec after {share:.0%} of the budget':34}{scores[0]:>10.4f}{scores[1]:>10.4f}")
    reached = {name: first(side, target) for name, side in reports.items()}
    print(f"\nnaive had its best s_rec, {target:.4f}, after {reached['naive']:.1f} s")
    if reached["ours"] is None:
        print("ours did not reach it")
    else:
        print(
            f"ours reached it after {reached['ours']:.1f} s, {reached['ours'] / options.budget:.3f} of the budget (aim 0.25)"
        )


if __name__ == "__main__":
    main()
