"""From a trained encoder to TFLite files that stream: one set of weights and scales in all."""
