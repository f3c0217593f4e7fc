"""Arrays out of a pickle that nobody vouches for.

A pickle may run any code when it is read. This reader knows the few names an array is made of, puts stand-ins in
their place, and refuses every other name.
"""

import io
import pickle
from typing import Any

import numpy as np


class HeldArray:
    """Stands where a pickle wants a NumPy array or a part of one: keeps what it is given and does nothing with it."""

    state: Any = None

    def __init__(self, *_parts: Any) -> None: ...

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def bytes_array(self) -> np.ndarray:
        """The array, read as uint8."""
        _version, shape, _dtype, by_column, raw = self.state
        return np.frombuffer(raw, np.uint8).reshape(shape, order="F" if by_column else "C")


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("_codecs", "encode"):  # how Python 3 writes bytes for Python 2
            return _encode
        if module.partition(".")[0] == "numpy" and name in {"_reconstruct", "ndarray", "dtype"}:
            return HeldArray
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no image needs")


def read_pickle(raw: bytes) -> Any:
    """The values in a pickle, its arrays as HeldArray; raises UnpicklingError whatever is wrong with it."""
    try:
        return _Reader(io.BytesIO(raw), encoding="bytes").load()
    except pickle.UnpicklingError:
        raise
    except Exception as fault:  # a damaged pickle can raise anything
        raise pickle.UnpicklingError(f"{type(fault).__name__}: {fault}") from fault


def _encode(text: str, _codec: str) -> bytes:
    return text.encode("latin-1")
