"""Samplers propose the next candidate: one file a sampler, and the file's name is the sampler's name.

    samplers/x.py
      make(plan, seed) -> optuna.samplers.BaseSampler

Each process that works on a study makes its sampler once. The sampler draws its randomness from (seed, trial.number)
alone, so that an interrupted study resumes with the candidates that it would have had; anything it keeps between
proposals may only save time. `_constrained.Constrained` moves each proposal to the nearest new point that satisfies the
conditions of the space and the constraints on static costs.
"""
