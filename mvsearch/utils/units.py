"""How numbers are written for people: `1_249_448` becomes `1.25 M`."""

import math
from dataclasses import dataclass

_PREFIXES = (("G", 1e9), ("M", 1e6), ("k", 1e3), ("", 1.0))


@dataclass(frozen=True)
class Unit:
    """A unit: the value is divided by `size` and followed by `symbol`; a count takes the SI prefix of its magnitude.

    Numbers have three significant digits, or `decimals` decimals where that is given.
    """

    symbol: str = ""
    size: float = 1.0
    count: bool = False
    decimals: int | None = None

    def scale(self, value: float) -> tuple[str, float]:
        """The symbol, and the divisor, for numbers of this magnitude.

        >>> Unit(count=True).scale(1_249_448), Unit("%", 0.01).scale(0.7)
        (('M', 1000000.0), ('%', 0.01))
        """
        return _si_prefix(value) if self.count else (self.symbol, self.size)

    def format(self, value: float) -> str:
        """A finite number with its unit.

        >>> Unit("%", 0.01).format(0.712), Unit(count=True).format(1_832_711_680), Unit(decimals=2).format(183.0812)
        ('71.2 %', '1.83 G', '183.08')
        >>> Unit(count=True).format(19), Unit(count=True).format(19.5)
        ('19', '19.5')
        """
        symbol, size = self.scale(value)
        whole = self.count and size == 1 and float(value).is_integer()
        decimals = 0 if whole else self.decimals
        number = three_digits(value / size) if decimals is None else f"{value / size:.{decimals}f}"
        return f"{number} {symbol}".rstrip()


PLAIN = Unit()
COUNT = Unit(count=True)
PERCENT = Unit("%", 0.01)
"""Of a share between 0 and 1."""
_LONGEST_IN_SECONDS = 100


def three_digits(value: float) -> str:
    """Three significant digits, never an exponent: 0.0123, 1.25, 71.2, 332, 2549."""
    return significant(value, 3)


def significant(value: float, digits: int) -> str:
    """So many significant digits, never an exponent; integer digits beyond them are printed."""
    if value == 0:
        return "0"
    magnitude = math.floor(math.log10(abs(float(f"{value:.{digits - 1}e}"))))
    return f"{value:.{max(0, digits - 1 - magnitude)}f}"


def _si_prefix(value: float) -> tuple[str, float]:
    rounded = abs(float(f"{value:.2e}"))  # 999.9 M is 1.00 G
    return next(((symbol, size) for symbol, size in _PREFIXES if rounded >= size), ("", 1.0))


def duration(seconds: float) -> str:
    """A duration as `40 s`, `12 min` or `3 h 05 min`."""
    minutes = round(seconds / 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60:02} min"
    return f"{minutes} min" if seconds >= _LONGEST_IN_SECONDS else f"{seconds:.0f} s"
