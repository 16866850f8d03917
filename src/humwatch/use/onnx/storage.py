"""In how many bits an ONNX file keeps what a detector has learnt; what is computed is computed as before."""

import numpy as np
import onnx
from onnx import helper, numpy_helper

LARGE = 4096  # values of an array; smaller ones stay as they are
PRECISIONS = ("float32", "float16", "int8")


def store(model: onnx.ModelProto, precision: str) -> None:
    """Change how the members' large arrays are kept, in place.

    Parameters
    ----------
    precision
        One of PRECISIONS: "int8" has a scale for each row or column.
    """
    nodes = []
    for initializer in [*model.graph.initializer]:
        array = numpy_helper.to_array(initializer)
        if not initializer.name.startswith("members.") or array.size < LARGE or array.dtype.kind != "f":
            continue
        name, kind = initializer.name, initializer.data_type
        stored, values = f"{name}.stored", array.astype(precision if precision != "int8" else array.dtype)
        if precision == "int8":
            values, scale = _quantised(array)
            model.graph.initializer.append(numpy_helper.from_array(scale, f"{name}.scale"))
            nodes += [
                helper.make_node("Cast", [stored], [f"{name}.values"], to=kind),
                helper.make_node("Mul", [f"{name}.values", f"{name}.scale"], [name]),
            ]
        elif values.dtype == array.dtype:
            continue
        else:
            nodes.append(helper.make_node("Cast", [stored], [name], to=kind))
        initializer.CopyFrom(numpy_helper.from_array(values, stored))
    for node in reversed(nodes):
        model.graph.node.insert(0, node)


def _quantised(array: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The array as int8, and the scales of its rows or columns, whichever come closer."""
    found = []
    for axis in (-1, -2 if array.ndim > 1 else -1):
        scale = np.abs(array).max(axis=axis, keepdims=True) / 127
        scale[scale == 0] = 1
        values = np.round(array / scale).astype(np.int8)
        found.append((np.square(values * scale - array).mean(), values, scale))
    _, values, scale = min(found, key=lambda one: one[0])
    return values, scale.astype(array.dtype)
