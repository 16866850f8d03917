"""A detector as an ONNX file, with everything from samples to p-value inside."""
