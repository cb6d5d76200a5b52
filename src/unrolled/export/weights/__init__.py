"""Weights of other libraries into `Recurrent` and back: torch, Keras, Flax, ONNX."""
