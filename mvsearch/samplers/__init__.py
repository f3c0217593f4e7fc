"""Who proposes the next candidate: one file a sampler, and the file's name is the sampler's.

    samplers/x.py
      make(plan, seed) -> optuna.samplers.BaseSampler

A sampler is made anew for each proposal, its seed mixed from the study's and the trial's number: so a study that was
interrupted goes on with the candidates that it would have had. What it proposes passes `_legal.Legal`, which moves it
to the nearest new point that meets the space's conditions and the limits on cost.
"""
