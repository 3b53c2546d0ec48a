"""Mixed-precision training, for `--precision`.

With bfloat16, the convolutions and matrix products of the encoder and the decoders are computed in
bfloat16. The variables, the input standardisation, the batch norm statistics, all other heads and
the losses remain in float32.
"""

import contextlib
from collections.abc import Iterator

import keras

_POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16"}


@contextlib.contextmanager
def precision(name: str) -> Iterator[None]:
    """Context in which new layers compute in the given precision, one of `specs.PRECISIONS`."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(_POLICIES[name])
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


@contextlib.contextmanager
def as_float32(model: keras.Model) -> Iterator[None]:
    """Context in which all layers of the model have the float32 policy, for saving."""
    mixed = [layer for layer in layers_of(model) if layer.compute_dtype == "bfloat16"]
    policies = [layer.dtype_policy for layer in mixed]
    for layer in mixed:
        layer.dtype_policy = "float32"
    try:
        yield
    finally:
        for layer, policy in zip(mixed, policies, strict=True):
            layer.dtype_policy = policy


def layers_of(model: keras.Model) -> Iterator[keras.layers.Layer]:
    """The model, and all layers in it and in the models that it contains."""
    yield model
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from layers_of(layer)
        else:
            yield layer
