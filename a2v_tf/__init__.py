"""Self-supervised audio embeddings for mobile devices, in TensorFlow and Keras."""

__version__ = "0.1.0"
