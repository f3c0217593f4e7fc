"""The choices of a space as Optuna knows them."""

from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution

from mvsearch.space.search_space import SearchSpace


def distributions(space: SearchSpace) -> dict[str, BaseDistribution]:
    """The choices of a space as distributions of Optuna."""
    return {
        choice.name: CategoricalDistribution(choice.values)
        if choice.step is None
        else IntDistribution(choice.values[0], choice.values[-1], step=choice.step)
        for choice in space.choices
    }
