"""Scores that stand for accuracy: one file a proxy, and the file's name is the proxy's.

    proxies/x.py
      VERSION                         a number that rises when the same settings would give another score
      Settings                        a frozen dataclass: the fields of `proxy:` in a file
      TASK_DEFAULTS                   optional: other defaults for a task, {task: {field: value}}, `seeds` included
      SCORES = (Metric(...), ...)     the metrics that it declares; the first is the one it ranks networks by
      score(arch, settings, data, *, seed, device, progress) -> Metrics    with all of SCORES, and more if it likes

Same architecture, settings, data and seed: same score. A file here loads no torch until `score` is called. A candidate
that cannot be scored raises ``metrics.record.EvaluationFailed`` with the reason.
"""

from mvsearch.metrics.registry import declare
from mvsearch.utils import plugins

for _name in plugins.names("proxy"):
    declare(*plugins.load("proxy", _name).SCORES)
