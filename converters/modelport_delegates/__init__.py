"""Converters of others as backends: skl2onnx and sklearn2pmml. Each is a module of its own and imports its package when asked."""
