"""Who proposes the next candidate: one file a sampler, and the file's name is the sampler's.

    samplers/x.py
      make(plan, seed) -> optuna.samplers.BaseSampler

A sampler is made once by each process that works on a study, and draws its randomness from (seed, trial.number) alone:
so a study that was interrupted goes on with the candidates that it would have had. What it remembers between proposals
may only save time. What it proposes passes `_legal.Constrained`, which moves it to the nearest new point that meets the
space's conditions and the limits on cost.
"""
