"""humwatch: unsupervised anomalous sound detection for machines."""

import importlib
from typing import Any

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Import `humwatch.load` when it is asked for, and by name, so that no stage of the workflow depends on it."""
    if name == "load":
        return importlib.import_module("humwatch.use.detector").load
    raise AttributeError(f"module 'humwatch' has no attribute {name!r}")
