"""Second opinions on the multiply-accumulates of an architecture, that say what they missed. One file a tool.

    counters/x.py
      count(arch: Architecture) -> Count      one image of the architecture's size, in evaluation mode

What every counter promises, and a test asks of every file here:

* `macs` and `params` are what the tool says out of the box, right or wrong. `missed` is what it passed over, `extra`
  what it counts that are no multiply-accumulates here (norms, pooling, resizing); with these, `exact` is its answer in
  the sense of `cost.Cost.macs`, and equals the closed form for every published model.
* What is missed is measured on the tensors of a forward pass, never taken from the closed form: else two opinions
  would be one.
* It works on a network of its own, and a tool that cannot be loaded is an `EnvironmentFault`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Missed:
    """An operator or type of module that a tool passed over: how often, and what this left out of its totals."""

    calls: int
    macs: int = 0
    params: int = 0

    def says(self, name: str) -> str:
        """How a sentence names it: its calls, and what they amount to."""
        amounts = {"MACs": self.macs, "parameters": self.params}
        return f"{name} ({self.calls} calls: {_listed(f'{n:,} {unit}' for unit, n in amounts.items() if n)})"


@dataclass(frozen=True)
class Count:
    """What a tool says about a network, what it missed, and what it adds. Operators have the tool's own names."""

    tool: str
    version: str
    params: int
    macs: int
    by_operator: dict[str, int]
    missed: dict[str, Missed] = field(default_factory=dict)
    extra: dict[str, int] = field(default_factory=dict)

    @property
    def exact(self) -> int:
        """The tool's multiply-accumulates as `cost.Cost.macs` counts them: without the extra, with the missed."""
        return self.macs - sum(self.extra.values()) + sum(missed.macs for missed in self.missed.values())

    @property
    def exact_params(self) -> int:
        """The tool's parameters, with those of the modules it passed over."""
        return self.params + sum(missed.params for missed in self.missed.values())

    def sentence(self, exact_macs: int) -> str:
        """A few lines for a person: what the tool says, misses and adds, and if it then agrees with the closed form."""
        costly = {name: missed for name, missed in self.missed.items() if missed.macs or missed.params}
        lines = [f"{self.tool} {self.version} says {self.macs:,} MACs and {self.params:,} parameters."]
        if costly:
            lines.append(f"It misses {_listed(missed.says(name) for name, missed in costly.items())}.")
        if self.extra:
            added = _listed(f"{macs:,} for {name}" for name, macs in self.extra.items())
            lines.append(f"It adds {added}, which the closed form does not count.")
        uncounted = [f"{name} ({missed.calls})" for name, missed in self.missed.items() if name not in costly]
        if uncounted:
            lines.append(f"It passes over {_listed(uncounted)}, for which nothing is added here.")
        return "\n".join([*lines, self._verdict(exact_macs)])

    def _verdict(self, exact_macs: int) -> str:
        says = f"{'So' if self.exact == self.macs else 'Corrected by these'} it is {self.exact:,} MACs"
        if self.exact == exact_macs:
            return f"{says}: equal to the closed form, to the integer."
        side = "more" if self.exact > exact_macs else "fewer"
        return f"{says}: {abs(self.exact - exact_macs):,} {side} than the closed form."


def _listed(words: Iterable[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last
