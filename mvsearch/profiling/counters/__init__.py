"""Second opinions on the multiply-accumulates of an architecture, with what each tool misses. One file a tool.

    profiling/counters/x.py
      count: MacCounter      counts one image of the architecture's size, in evaluation mode

What every counter promises, and a test asks of every file here:

* `macs` and `params` are what the tool reports out of the box, right or wrong. `missed` is what it does not count,
  `extra` what it counts although it is not a multiply-accumulate here (norms, pooling, resizing). Corrected by these,
  `exact` is its answer in the sense of `cost.Cost.macs`; it equals the closed form for every published model.
* What is missed is measured on the tensors of a forward pass, not taken from the closed form: otherwise the two
  opinions would not be independent.
* It works on a network of its own. A tool that cannot be loaded is an `EnvironmentFault` that names its package.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from mvsearch.utils import plugins
from mvsearch.utils.text import join_words

if TYPE_CHECKING:
    from mvsearch.arch.architecture import Architecture


@dataclass(frozen=True)
class Missed:
    """An operator or type of module that a tool does not count: its calls, and what the totals lack because of it."""

    calls: int
    macs: int = 0
    params: int = 0

    def describe(self, name: str) -> str:
        """Its calls and its amounts, in words."""
        amounts = {"MACs": self.macs, "parameters": self.params}
        return f"{name} ({self.calls} calls: {join_words(f'{n:,} {unit}' for unit, n in amounts.items() if n)})"


@dataclass(frozen=True)
class Count:
    """What a tool reports about a network, what it misses, and what it adds. Operators have the tool's own names."""

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
        """The tool's parameters, with those of the modules that it does not count."""
        return self.params + sum(missed.params for missed in self.missed.values())

    def sentence(self, exact_macs: int) -> str:
        """What the tool reports, misses and adds, in words, and whether it then agrees with the closed form."""
        costly = {name: missed for name, missed in self.missed.items() if missed.macs or missed.params}
        lines = [f"{self.tool} {self.version} counts {self.macs:,} MACs and {self.params:,} parameters."]
        if costly:
            lines.append(f"It misses {join_words(missed.describe(name) for name, missed in costly.items())}.")
        if self.extra:
            added = join_words(f"{macs:,} for {name}" for name, macs in self.extra.items())
            lines.append(f"It adds {added}, which the closed form does not count.")
        uncounted = [f"{name} ({missed.calls})" for name, missed in self.missed.items() if name not in costly]
        if uncounted:
            lines.append(f"It also skips {join_words(uncounted)}, for which nothing is added here.")
        return "\n".join([*lines, self._agreement(exact_macs)])

    def _agreement(self, exact_macs: int) -> str:
        total = f"{'The total is' if self.exact == self.macs else 'The corrected total is'} {self.exact:,} MACs"
        if self.exact == exact_macs:
            return f"{total}, exactly the closed form."
        side = "more" if self.exact > exact_macs else "fewer"
        return f"{total}, {abs(self.exact - exact_macs):,} {side} than the closed form."


class MacCounter(Protocol):
    """Counts with a tool."""

    def __call__(self, arch: "Architecture") -> Count:
        """Count one image of the architecture's size."""
        ...


def load_counter(name: str) -> MacCounter:
    """The counter of a name; raises MvsearchError, with a suggestion, if there is none."""
    counter: MacCounter = plugins.load("counter", name).count
    return counter
