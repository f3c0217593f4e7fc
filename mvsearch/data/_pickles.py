"""Reads arrays from an untrusted pickle.

A pickle can run any code when it is read. This reader replaces the few names that an array consists of by placeholders,
and rejects every other name.
"""

import io
import pickle
from typing import Any

import numpy as np


class ArrayPlaceholder:
    """Takes the place of a NumPy array or a part of one, and stores its state without interpreting it."""

    state: Any = None

    def __init__(self, *_parts: Any) -> None: ...

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def bytes_array(self) -> np.ndarray:
        """The array, read as uint8."""
        _version, shape, _dtype, by_column, raw = self.state
        return np.frombuffer(raw, np.uint8).reshape(shape, order="F" if by_column else "C")


class _ArrayUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("_codecs", "encode"):  # how Python 3 writes bytes for Python 2
            return _encode
        if module.partition(".")[0] == "numpy" and name in {"_reconstruct", "ndarray", "dtype"}:
            return ArrayPlaceholder
        raise pickle.UnpicklingError(f"it refers to {module}.{name}, which images do not need")


def read_pickle(raw: bytes) -> Any:
    """The values in a pickle, with arrays as ArrayPlaceholder; raises UnpicklingError for any damage."""
    try:
        return _ArrayUnpickler(io.BytesIO(raw), encoding="bytes").load()
    except pickle.UnpicklingError:
        raise
    except Exception as fault:  # a damaged pickle can raise anything
        raise pickle.UnpicklingError(f"{type(fault).__name__}: {fault}") from fault


def _encode(text: str, _codec: str) -> bytes:
    return text.encode("latin-1")
