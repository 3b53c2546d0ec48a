"""Encoders, decoders and heads: Keras only, for any backend."""
