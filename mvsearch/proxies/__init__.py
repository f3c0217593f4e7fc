"""Scores that stand for accuracy: one file a proxy, and the file's name is the proxy's.

    proxies/x.py
      Settings                                       a frozen dataclass: the fields of `proxy:` in a file
      score(arch, settings, data, *, seed, device, progress) -> Metrics    with `top1` or what the proxy is called

Same architecture, settings, data and seed: same score. A file here loads no torch until `score` is called. A candidate
that cannot be scored raises `record.Failed` with the reason.
"""
