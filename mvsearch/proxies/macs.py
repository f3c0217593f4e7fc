"""The baseline to beat: multiply-accumulates at the architecture's own image size; more counts as better."""

from mvsearch.proxies._counts import counted

PROXY = counted(
    lambda arch: arch.cost().macs,
    name="macs_score",
    label="MACs, a score",
    description="MACs, taken for a score",
    ideal=1e13,
)
