"""The baseline to beat: the number of parameters; more counts as better."""

from mvsearch.proxies._counts import counted

PROXY = counted(
    lambda arch: arch.cost().params,
    name="params_score",
    label="params, a score",
    description="parameters, taken for a score",
    ideal=1e10,
)
