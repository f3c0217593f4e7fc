"""Arrays that are computed once and memory-mapped afterwards, beside the decoded images in the cache.

CACHE/decoded/NAME-KEY/     complete as soon as it exists, as a decoded data set
    values                  the array, C order
    about.json              shape and dtype
"""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from mvsearch.data._cache import cache_dir, read_about, write_once
from mvsearch.errors import DataError


def load_or_compute(name: str, identity: Any, compute: Callable[[], np.ndarray]) -> np.ndarray:
    """The array of `identity`, read-only, from the cache if it was computed before.

    `identity` is JSON and contains all that the values depend on. If two processes need the same array, one computes it
    and the other waits. Raises EnvironmentFault if the cache cannot be written, DataError for a damaged entry.
    """
    key = hashlib.sha256(json.dumps([name, identity], sort_keys=True).encode()).hexdigest()[:16]
    folder = cache_dir() / "decoded" / f"{name}-{key}"
    write_once(folder, lambda partial: _write(partial, compute()))
    return _read(folder)


def _write(folder: Path, values: np.ndarray) -> None:
    values.tofile(folder / "values")
    about = json.dumps({"shape": values.shape, "dtype": str(values.dtype)})
    (folder / "about.json").write_text(about, encoding="utf-8")


def _read(folder: Path) -> np.ndarray:
    try:
        about = read_about(folder)
        shape, dtype, file = tuple(about["shape"]), np.dtype(about["dtype"]), folder / "values"
        if file.stat().st_size != int(np.prod(shape)) * dtype.itemsize:
            raise ValueError(f"{file.name} has {file.stat().st_size} bytes")
        return np.memmap(file, dtype, mode="r", shape=shape)
    except (OSError, ValueError, KeyError, TypeError) as fault:
        raise DataError(f"this part of the cache is damaged ({fault}); delete the folder.", at=folder) from fault
