"""Which trainings come next, and which candidates stop because they are clearly behind.

A round is one seed of all networks that are still compared. After the second round and after each later one except the
last, a candidate stops if it is clearly behind the best of its baselines or the leading candidate with the same
baselines. That is tested one-sidedly on the paired differences; the probability of an error, `STOPPING_ERROR` for a
candidate in the whole validation, is divided equally among all tests of the candidate. Baselines never stop.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from mvsearch.validation.comparison import Noise, Scores, is_behind, pooled_noise

STOPPING_ERROR = 0.02
"""How probable it is by the t test that a candidate which is behind none of the others stops early."""

FIRST_LOOK = 2
"""The number of rounds before the first candidate may stop: one seed shows no noise."""

Training = tuple[str, int]
"""The name of a network, and a seed."""


@dataclass(frozen=True)
class Stop:
    """A candidate that stopped after so many rounds, because it is clearly behind another network."""

    rounds: int
    behind: str


@dataclass(frozen=True)
class Schedule:
    """The state of a validation: what is to be trained next, and which candidates stopped.

    `next` is empty once the validation is finished. `later` are the trainings of further rounds that are not finished,
    if nobody stops. `used` are the scores that count: those of a stopped candidate up to its stop.
    """

    next: tuple[Training, ...]
    later: tuple[Training, ...]
    stops: Mapping[str, Stop]
    used: Scores


def schedule(scores: Scores, against: Mapping[str, Sequence[str]], rounds: int, images: int | None = None) -> Schedule:
    """The state after these scores. `against` are the candidates with the baselines that each is compared with.

    `images` is that of `pooled_noise`.
    """
    stops: dict[str, Stop] = {}
    used: dict[str, dict[int, float]] = {name: {} for name in _names(against)}
    looks = [*range(min(FIRST_LOOK, rounds), rounds), rounds]
    for first, end in zip([0, *looks], looks, strict=False):
        running = _running(against, stops)
        for name in running:
            used[name] |= {seed: scores[name][seed] for seed in range(first, end) if seed in scores.get(name, {})}
        if missing := [(name, seed) for seed in range(first, end) for name in running if seed not in used[name]]:
            later = [
                (name, seed) for seed in range(end, rounds) for name in running if seed not in scores.get(name, {})
            ]
            return Schedule(tuple(missing), tuple(later), stops, used)
        if end < rounds:
            stops |= _stops(used, pooled_noise(used, images), against, stops, end, rounds)
    return Schedule((), (), stops, used)


def _names(against: Mapping[str, Sequence[str]]) -> list[str]:
    """All networks: candidates, then baselines."""
    return list(dict.fromkeys([*against, *(name for names in against.values() for name in names)]))


def _running(against: Mapping[str, Sequence[str]], stops: Mapping[str, Stop]) -> list[str]:
    """The candidates that have not stopped, and their baselines."""
    return _names({name: names for name, names in against.items() if name not in stops})


def _stops(
    scores: Scores,
    noise: Noise | None,
    against: Mapping[str, Sequence[str]],
    stops: Mapping[str, Stop],
    end: int,
    rounds: int,
) -> dict[str, Stop]:
    """The candidates that stop after a round."""
    if noise is None:
        return {}
    means = {name: fmean(values.values()) for name, values in scores.items() if values}
    stopped = {}
    for name, baselines in against.items():
        others = [other for other, theirs in against.items() if other != name and set(theirs) == set(baselines)]
        running = [other for other in others if other not in stops]
        error = STOPPING_ERROR / ((rounds - FIRST_LOOK) * (len(others) + len(baselines)))
        ahead = sorted({max(names, key=means.__getitem__) for names in (baselines, running) if names})
        behind = [other for other in ahead if is_behind(scores, name, other, noise, error=error)]
        if name not in stops and behind:
            stopped[name] = Stop(end, max(behind, key=means.__getitem__))
    return stopped
