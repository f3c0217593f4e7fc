"""Short names for plain values."""

import hashlib
import json
from typing import Any


def digest(value: Any) -> str:
    """Twelve hexadecimal digits that name plain values."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]
