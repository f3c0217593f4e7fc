"""Arrays that are computed once and memory-mapped afterwards, beside the decoded images in the cache.

CACHE/decoded/NAME-KEY/     complete as soon as it exists, as a decoded data set
    values                  the array, C order
    about.json              shape and dtype
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from mvsearch.data._cache import PARTIAL, cache_dir, cache_faults, enforce_limit, folder_lock
from mvsearch.errors import DataError


def load_or_compute(name: str, identity: Any, compute: Callable[[], np.ndarray]) -> np.ndarray:
    """The array of `identity`, read-only, from the cache if it was computed before.

    `identity` is JSON and contains all that the values depend on. If two processes need the same array, one computes it
    and the other waits. Raises EnvironmentFault if the cache cannot be written, DataError for a damaged entry.
    """
    key = hashlib.sha256(json.dumps([name, identity], sort_keys=True).encode()).hexdigest()[:16]
    folder = cache_dir() / "decoded" / f"{name}-{key}"
    if not folder.exists():
        with cache_faults(), folder_lock(folder):
            if not folder.exists():
                _write(folder, compute())
        enforce_limit(folder)
    return _read(folder)


def _write(folder: Path, values: np.ndarray) -> None:
    partial = folder.with_name(folder.name + PARTIAL)
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        values.tofile(partial / "values")
        about = json.dumps({"shape": values.shape, "dtype": str(values.dtype)})
        (partial / "about.json").write_text(about, encoding="utf-8")
        partial.replace(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _read(folder: Path) -> np.ndarray:
    with suppress(OSError):  # the cache of another user can be read, too
        os.utime(folder)  # when it was last used
    try:
        about = json.loads((folder / "about.json").read_text(encoding="utf-8"))
        shape, dtype, file = tuple(about["shape"]), np.dtype(about["dtype"]), folder / "values"
        if file.stat().st_size != int(np.prod(shape)) * dtype.itemsize:
            raise ValueError(f"{file.name} has {file.stat().st_size} bytes")
        return np.memmap(file, dtype, mode="r", shape=shape)
    except (OSError, ValueError, KeyError, TypeError) as fault:
        raise DataError(f"this part of the cache is damaged ({fault}); delete the folder.", at=folder) from fault
