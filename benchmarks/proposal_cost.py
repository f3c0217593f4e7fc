"""What a proposal of our sampler costs, and how much memory, after so many finished trials.

Trials are random points of spaces/v3.yaml with the made-up score of `_landscape.py`; a proposal is one `ask` with all
that it takes: reading what is new, the model, the evolution, the gain. Prints CPU milliseconds, median and worst.

    OMP_NUM_THREADS=1 python benchmarks/proposal_cost.py
"""

import resource
import statistics
import time

import click
import numpy as np
import optuna
from _landscape import TASKS

from mvsearch.study.distributions import distributions
from mvsearch.study.samplers._constrained import Constrained


@click.command()
@click.option("--trials", "sizes", multiple=True, default=(100, 300, 1000, 3000), show_default=True)
@click.option("--proposals", default=15, show_default=True)
def main(sizes: tuple[int, ...], proposals: int) -> None:
    """Grow one study, and ask at each size."""
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    task, rng = TASKS[0], np.random.default_rng(0)
    plan = task.plan  # its sampler is the default, ours
    choices, space = distributions(plan.space), plan.space
    study = optuna.create_study(directions=["maximize", "minimize", "minimize"], sampler=Constrained(plan))
    for size in sorted(sizes):
        for codes in space.sample(size - len(study.get_trials(deepcopy=False)), rng):
            cost = space.costs(codes[None])
            values = [float(task.landscape.score(codes[None])[0]) / 100, float(cost.params[0]), float(cost.macs[0])]
            study.add_trial(optuna.trial.create_trial(params=space.point(codes), distributions=choices, values=values))
        seconds = []
        for _ in range(proposals):
            start = time.process_time()
            trial = study.ask(choices)
            seconds.append(time.process_time() - start)
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        median, worst = 1e3 * statistics.median(seconds), 1e3 * max(seconds)
        click.echo(f"{size:5} trials: {median:4.0f} ms CPU a proposal (worst {worst:.0f}); peak memory {peak} MiB")


if __name__ == "__main__":
    main()
