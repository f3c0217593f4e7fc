"""Which of the weights in a checkpoint are meant, and what else it has.

Training scripts store weights in a dictionary, beside an optimiser and numbers; often twice, as they are trained and as
a moving average; often behind prefixes. The average is taken where there is one, as timm and others do:

    {"epoch": 3, "state_dict": {...}, "state_dict_ema": {"module.stem.conv.weight": ..., "n_averaged": ...}}
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from torch import Tensor

from mvsearch.errors import CheckpointError
from mvsearch.utils.text import plural

Weights = dict[str, Any]
Path = tuple[str, ...]

_PLAIN = (
    *("state_dict", "model_state_dict", "model", "model_state", "net", "network", "weights", "params", "module"),
    *("model_weights", "net_state_dict", "state"),
)
_AVERAGES = (
    *("state_dict_ema", "model_ema", "ema_state_dict", "model_ema_state_dict", "ema_model_state_dict", "ema_model"),
    *("shadow", "ema", "params_ema", "average"),
)
"""Keys in the order in which they are preferred."""

_WRAPPERS = ("module", "model", "net", "network", "backbone", "_forward_module")
_TRANSPARENT = {"_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}
"""What torch adds to the names of parameters wherever a part of a network is wrapped; no layer has such a name."""

_DEPTH = 5
"""Dictionaries are searched to this depth: one of a pickle may contain itself."""

_OF_TRAINING = ("opt", "sched", "lr", "scaler", "rng", "momentum")
_BUFFERS = ("running_mean", "running_var", "num_batches_tracked")
_PROFILED = ("total_ops", "total_params")
_AVERAGE = "the moving average"
_ALONE = "save the weights that you mean alone: torch.save(model.state_dict(), 'weights.pt')"


@dataclass(frozen=True)
class WeightSet:
    """Weights by name, which ones of the file they are, whether the file has others, and what was passed over."""

    weights: Weights
    origin: str
    is_average: bool = False
    others: bool = False
    ignored: tuple[str, ...] = ()
    converted: tuple[str, ...] = ()


def select_weights(content: Any, *, ours: bool = False) -> WeightSet:
    """The weights of a file's content; with `ours` the names are known to be those of a network of ours.

    Raises CheckpointError if there are none, if several are equally likely, or if an average is incomplete.
    """
    sets = dict(_find_sets(content, ()))
    if not sets:
        raise CheckpointError(
            f"has no tensors under the names of a network's weights, such as 'stem.conv.weight', but "
            f"{_describe(content)}; save model.state_dict()."
        )
    path, stored_as = _choose(sets)
    others = [other for other in sets if other != path]
    averaged = bool(stored_as) or _is_average(path)
    chosen = _without_counters(WeightSet(sets[path], _label(path), averaged, bool(others)))
    chosen = chosen if ours else _unwrap(chosen)
    empty = [name for name, value in content.items() if isinstance(name, str) and _is_average((name,))]
    ignored = tuple(f"{_label(other)} ({_tensors(sets[other])})" for other in others)
    ignored += tuple(f"{name} (empty)" for name in empty if content[name] is None or content[name] == {})
    chosen = replace(chosen, ignored=ignored + chosen.ignored)
    plain = [other for other in others if not _is_average(other)]
    if _is_average(path) and plain and (reference := _preference(plain, _PLAIN)) is not None:
        base = _unwrap(_without_counters(WeightSet(sets[reference], _label(reference))))
        chosen = _complete(chosen, base)
    if chosen.is_average:
        chosen = replace(chosen, origin=f"{chosen.origin}, {stored_as or _AVERAGE}")
    return chosen


def _find_sets(value: Any, path: Path) -> Iterator[tuple[Path, Weights]]:
    """The mappings of parameters to tensors in nested dictionaries, with the keys that lead to them."""
    if not isinstance(value, Mapping) or len(path) > _DEPTH:
        return
    if any(isinstance(name, str) and "." in name and isinstance(entry, Tensor) for name, entry in value.items()):
        yield path, dict(value)
    for key, entry in value.items():
        if isinstance(key, str) and not any(word.startswith(_OF_TRAINING) for word in _words((key,))):
            found = list(_find_sets(entry, (*path, key)))
            if not found and _is_average((key,)) and not isinstance(entry, Tensor) and _has_matrix(entry):
                raise CheckpointError(
                    f"its average {_label((*path, key))!r} is without the names of the parameters; {_ALONE}."
                )
            yield from found


def _describe(content: Any) -> str:
    """What a file stores, e.g. `'epoch', 'best', 'names', ...`."""
    if not isinstance(content, Mapping):
        return f"a value of type {type(content).__name__}"
    names = [repr(name) for name in islice(content, 4)]
    return ", ".join(names[:3] + ["..."] * (len(names) > 3)) or "nothing"


def _has_matrix(value: Any, depth: int = _DEPTH) -> bool:
    if isinstance(value, Mapping | list | tuple):
        entries = value.values() if isinstance(value, Mapping) else value
        return depth > 0 and any(_has_matrix(entry, depth - 1) for entry in entries)
    return isinstance(value, Tensor) and value.ndim > 1


def _words(path: Path) -> list[str]:
    return [word.lower() for key in path for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", key)]


def _is_average(path: Path) -> bool:
    words = _words(path)
    return "exp" not in words and any(word in {"ema", "swa", "avg", "average", "averaged", "shadow"} for word in words)


def _label(path: Path) -> str:
    return "/".join(path) or "the whole file"


def _tensors(weights: Weights) -> str:
    return plural(sum(isinstance(value, Tensor) for value in weights.values()), "tensor")


def _choose(sets: Mapping[Path, Weights]) -> tuple[Path, str]:
    """The path of the weights that are meant; in words what they are if a tool stores its average as the network."""
    network = ("state_dict",)
    if network in sets and ("current_model_state",) in sets:
        return network, f"{_AVERAGE} of Lightning"
    if network in sets and "steps" in sets.get(("ema_state_dict",), ()):
        return network, f"{_AVERAGE} of MMEngine"
    averages = [path for path in sets if _is_average(path)]
    chosen = _preference(averages or list(sets), _AVERAGES if averages else _PLAIN)
    if chosen is None:
        names = ", ".join(_label(path) for path in averages or sets)
        raise CheckpointError(f"has several sets of weights ({names}); {_ALONE}.")
    return chosen, ""


def _preference(paths: list[Path], order: tuple[str, ...]) -> Path | None:
    """The path with the first key of an order; None if several have equal ranks."""

    def rank(path: Path) -> int:
        return min((order.index(key) for key in path if key in order), default=len(order) if path else -1)

    first, *rest = sorted(paths, key=rank)
    return None if rest and rank(rest[0]) == rank(first) else first


def _without_counters(chosen: WeightSet) -> WeightSet:
    """Without values that are not weights: the counters of profilers, of averages, and what is not a tensor."""
    weights = chosen.weights
    others = [name for name, value in weights.items() if not isinstance(value, Tensor) or not isinstance(name, str)]
    rest = {name: value for name, value in weights.items() if name not in others}
    profiled = [name for name in rest if name.rpartition(".")[2] in _PROFILED and rest[name].numel() == 1]
    copies = [name for name in rest if "." not in name and name.startswith("ema_")]
    single = [n for n in rest if "." not in n and rest[n].numel() == 1 and n not in profiled and n not in copies]
    ignored = [f"{len(profiled)} counters of thop"] * bool(profiled)
    ignored += [f"the number {name!r}" for name in single]
    ignored += [f"{len(copies)} copies of MMCV, which stores its average under the plain names"] * bool(copies)
    ignored += [f"{len(others)} values that are not tensors, such as {others[0]!r}"] if others else []
    if "n_averaged" in single:
        chosen = replace(chosen, origin=f"{chosen.origin}, torch's AveragedModel", is_average=True)
    dropped = {*profiled, *single, *copies}
    weights = {name: value for name, value in rest.items() if name not in dropped}
    return replace(chosen, weights=weights, ignored=(*chosen.ignored, *ignored))


def _unwrap(chosen: WeightSet) -> WeightSet:
    """Without the prefixes that all names have; of names with and without an average's prefix, those of the average."""
    plain = {".".join(part for part in name.split(".") if part not in _TRANSPARENT): name for name in chosen.weights}
    if len(plain) == len(chosen.weights):
        chosen = replace(chosen, weights={name: chosen.weights[inner] for name, inner in plain.items()})
    names = list(chosen.weights)
    first = {name.partition(".")[0] for name in names}
    if len(first) == 1:
        [prefix] = first
        inner = [name.removeprefix(f"{prefix}.") for name in names]
        # A parameter of a network has the name of a row, of a layer, and its own.
        if prefix in _WRAPPERS or _is_average((prefix,)) or all(name.count(".") > 1 for name in inner):
            weights = dict(zip(inner, chosen.weights.values(), strict=True))
            averaged = chosen.is_average or _is_average((prefix,))
            return _unwrap(replace(chosen, weights=weights, is_average=averaged))
        return chosen
    averages = [found for prefix in sorted(first) if _is_average((prefix,)) and (found := _average(chosen, prefix))]
    if len(averages) > 1:
        raise CheckpointError(f"has several averages ({'; '.join(average.origin for average in averages)}); {_ALONE}.")
    return averages[0] if averages else chosen


def _average(chosen: WeightSet, prefix: str) -> WeightSet | None:
    """The weights under the prefix of an average; None if the others have none of their names, as if it were a row."""
    inside = {name: value for name, value in chosen.weights.items() if name.startswith(f"{prefix}.")}
    outside = {name: value for name, value in chosen.weights.items() if name not in inside}
    base = _unwrap(WeightSet(outside, "the other weights"))
    shadow = _without_counters(WeightSet({name.removeprefix(f"{prefix}."): v for name, v in inside.items()}, ""))
    dotted = {name.replace(".", ""): name for name in base.weights}  # latent diffusion's average has no dots
    named = {name if "." in name else dotted.get(name, name): value for name, value in shadow.weights.items()}
    average = _unwrap(replace(shadow, weights=named))
    if not base.weights.keys() & average.weights.keys():
        return None
    average = replace(
        average,
        origin=f"{prefix}.* in {chosen.origin}",
        is_average=True,
        others=True,
        ignored=(*chosen.ignored, f"{_tensors(outside)} beside {prefix}.*", *shadow.ignored),
    )
    return _complete(average, base)


def _complete(average: WeightSet, base: WeightSet) -> WeightSet:
    """An average with the running statistics of the weights that it averages, if it has none of its own.

    Raises CheckpointError if it lacks parameters of those weights, or if its statistics were never updated.
    """
    if not base.weights.keys() & average.weights.keys():
        return average  # they cannot be compared by name, but the network that is loaded will be
    missing = [name for name in base.weights if name not in average.weights]
    parameters = [name for name in missing if not name.endswith(_BUFFERS)]
    statistics = [name for name in base.weights if name.endswith(_BUFFERS[:2])]
    lost = [name for name in statistics if name in missing]
    if parameters or 0 < len(lost) < len(statistics):
        name = (parameters or lost)[0]
        raise CheckpointError(f"its average, {average.origin}, has no {name!r} ({len(missing)} missing); {_ALONE}.")
    if statistics and not lost and _fresh(average, statistics) and not _fresh(base, statistics):
        raise CheckpointError(
            f"the batch norms of its average, {average.origin}, have seen no image; call "
            "torch.optim.swa_utils.update_bn before you save it."
        )
    if not lost:
        return average
    filled = {name: base.weights[name] for name in base.weights if name.endswith(_BUFFERS)}
    note = f"took {len(lost)} running statistics from {base.origin}, since the average has none"
    weights = {name: average.weights.get(name, filled.get(name)) for name in base.weights}
    return replace(average, weights=average.weights | weights, converted=(*average.converted, note))


def describe_prefixes(names: Iterable[str], own: Iterable[str]) -> str:
    """A hint for names that do not fit: a wrapper's prefix that only some of them have; else an empty text."""
    names, rows = list(names), {name.partition(".")[0] for name in own}
    for prefix in _WRAPPERS:
        outside = [name for name in names if not name.startswith(f"{prefix}.")]
        if prefix not in rows and 0 < len(outside) < len(names):
            return (
                f" ({len(names) - len(outside)} of its {len(names)} names begin with '{prefix}.', others such as "
                f"{outside[0]!r} do not; save the state_dict of the network alone)"
            )
    return ""


def _fresh(chosen: WeightSet, statistics: list[str]) -> bool:
    """Whether all running means are 0 and all running variances 1."""
    return all(bool((chosen.weights[name] == name.endswith("running_var")).all()) for name in statistics)
