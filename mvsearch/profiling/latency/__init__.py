"""How long a network takes on a device: one file a backend, and the file's name is the backend's.

    latency/x.py
      VERSION                               a number that rises when the same settings would give another time
      measure(model, image_size, *, batch=1, repeats=50, threads=1, limit_s=30.0, ...) -> Latency
      device(*, threads=1, ...) -> str      the hardware and software that the number depends on

and, where networks can take turns with others (`mvsearch bench`),

      ready(model, image_size, *, batch=1, threads=1)   a context in which there is a call that runs one batch
      missing() -> (extra, packages)        what mvsearch[extra] would bring and is not here, if packages are needed

What every backend promises, and a test asks of every file here:

* The number comes with its spread (10th and 90th percentile) and with the count of calls that were timed: fewer than
  `repeats` where these would take longer than `limit_s`.
* It is taken alone on the machine (`machine_lock.exclusive`), after calls that warm up and are not kept.
* The caller's model and settings are left as they were: weights, mode, device, threads, random state.
* `device()` is the same string for the same machine and software, and two studies are compared only where it is the
  same. A backend that cannot run here raises `EnvironmentFault` from both functions.
"""
