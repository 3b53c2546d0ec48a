"""Self-supervised audio embeddings for mobile devices, in TensorFlow and Keras."""

import os

__version__ = "0.1.0"

# TensorFlow's C++ side greets every process with lines about CPU instructions; errors stay on.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
