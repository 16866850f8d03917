"""A network that takes milliseconds, as an ONNX file."""

from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


def onnx_file(path: Path, shape: tuple[int, ...] | None = None, scale: float = 1.0) -> Path:
    """Of scaled samples, the mean magnitude and the largest, [batch, 2]; or the samples themselves in another shape."""
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    weights = [onnx.numpy_helper.from_array(np.array([1], np.int64), "axis")]
    weights.append(onnx.numpy_helper.from_array(np.array(scale, np.float32), "scale"))
    nodes = [helper.make_node("Mul", ["samples", "scale"], ["scaled"])]
    if shape is None:
        nodes += [
            helper.make_node("Abs", ["scaled"], ["magnitude"]),
            helper.make_node("ReduceMean", ["magnitude", "axis"], ["mean"]),
            helper.make_node("ReduceMax", ["scaled", "axis"], ["largest"]),
            helper.make_node("Concat", ["mean", "largest"], ["embedding"], axis=1),
        ]
    else:
        weights.append(onnx.numpy_helper.from_array(np.array(shape, np.int64), "shape"))
        nodes.append(helper.make_node("Reshape", ["scaled", "shape"], ["embedding"]))
    given, made = (helper.make_tensor_value_info(name, kind, None) for name in ("samples", "embedding"))
    graph = helper.make_graph(nodes, "network", [given], [made], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path
