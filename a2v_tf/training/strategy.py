"""Training on several devices or machines: what `--strategy` chooses.

- `none`: one device.
- `mirrored`: all devices of this machine, by `tf.distribute.MirroredStrategy` or, under JAX,
  `keras.distribution.DataParallel`.
- `multi_worker`: all devices of several processes, on one machine or many, by `keras.distribution`
  under JAX. (Keras 3 cannot `fit` under `tf.distribute.MultiWorkerMirroredStrategy`: keras issue
  20585; in 3.15 it averages the metrics, which are scalars, over an axis.)

`--batch_size` counts the examples on all devices together. Losses, gradients and batch norm
statistics are computed over the whole batch, so several devices train the same model as one, up to
floating-point rounding. Each process reads its share of the data. One of them, the chief, writes
the model directory, which all must be able to read.
"""

import contextlib
import json
import os
import pathlib
import sys
import traceback
from collections.abc import Callable, Iterator
from typing import Any, NoReturn, TypeVar

import keras
import numpy as np
import tensorflow as tf

from a2v_tf.data.sampling import EVERYTHING, Share
from a2v_tf.errors import A2vError
from a2v_tf.tasks import multi_head
from a2v_tf.tasks.task import find_tasks
from a2v_tf.training.settings import TrainSettings

# Words in the errors that JAX raises when another process is lost.
_SIGNS_OF_LOSS = ("gloo", "nccl", "coordination", "connection", "deadline_exceeded", "unavailable")


_T = TypeVar("_T")


class Strategy:
    """The devices that train one model together. This base class is a single device.

    Attributes:
      devices: how many there are, in all processes.
      share: this process's part of the data.
    """

    devices: int = 1
    share: Share = EVERYTHING

    @property
    def is_chief(self) -> bool:
        """Whether this process writes the model directory."""
        return self.share.worker == 0

    def describe(self) -> str:
        """Describe the devices on one line."""
        share = self.share
        return f"{self.devices} devices, process {share.worker + 1} of {share.workers}"

    def log_dir(self, model_dir: pathlib.Path) -> pathlib.Path:
        """Where this process writes which recordings it skipped."""
        return model_dir if self.is_chief else model_dir / f"worker_{self.share.worker}"

    def scope(self) -> contextlib.AbstractContextManager:
        """Context in which the model is built, compiled and restored."""
        return contextlib.nullcontext()

    def alone(self) -> contextlib.AbstractContextManager:
        """Context in which other models are built and used, on one device."""
        return contextlib.nullcontext()

    def from_chief(self, make: Callable[[], Any]) -> Any:
        """Call `make` on the chief only; all processes get its result, which must be JSON."""
        return make()

    def chief_first(self, make: Callable[[], _T]) -> _T:
        """Call `make` on the chief, then on the others: what it computes is on disk for them."""
        made: list[_T] = []

        def on_chief() -> bool:
            made.append(make())
            return True

        self.from_chief(on_chief)
        return made[0] if made else make()

    def of_chief(
        self,
        callback: keras.callbacks.Callback,
        build: Callable[[], keras.Model] | None = None,
    ) -> keras.callbacks.Callback:
        """Run a callback on the chief only; it reads the model at the end of each round.

        Args:
          callback: the callback.
          build: builds such a model, for a callback that runs it: it gets a copy on one device.
        """
        if type(self) is Strategy:
            return callback
        with self.alone():
            return _Alone(callback, build() if build else None, self)


class _Mirrored(Strategy):
    """All devices of this machine, by TensorFlow."""

    def __init__(self) -> None:
        self._strategy = tf.distribute.MirroredStrategy()
        self.devices = self._strategy.num_replicas_in_sync

    def scope(self) -> contextlib.AbstractContextManager:
        return self._strategy.scope()


class _DataParallel(Strategy):
    """All devices of one process or of several, by JAX."""

    def __init__(self) -> None:
        import jax

        self._distribution = keras.distribution.DataParallel(auto_shard_dataset=False)
        self.devices = jax.device_count()
        self.share = Share(jax.process_index(), jax.process_count())
        if self.devices != self.share.workers * jax.local_device_count():
            raise A2vError(
                f"--strategy=multi_worker: {jax.local_device_count()} of {self.devices} devices "
                f"are here; expected as many in each of the {self.share.workers} processes"
            )

    def alone(self) -> contextlib.AbstractContextManager:
        return _distributed_by(None)

    def from_chief(self, make: Callable[[], Any]) -> Any:
        if self.share.workers == 1:
            return make()
        from jax.experimental.multihost_utils import broadcast_one_to_all

        text = json.dumps(make()).encode() if self.is_chief else b""
        size = int(broadcast_one_to_all(np.int32(len(text))))
        padded = np.frombuffer(text.ljust(size), np.uint8)
        return json.loads(np.asarray(broadcast_one_to_all(padded)).tobytes())

    def training(self) -> contextlib.AbstractContextManager:
        """Context in which everything that Keras creates is on all devices."""
        return _distributed_by(self._distribution)


@contextlib.contextmanager
def open_strategy(name: str) -> Iterator[Strategy]:
    """Join the other processes, if any, and train within this context.

    With multi_worker, an exception in this context ends the process at once: a normal exit would
    wait for the other workers, which wait for this one. They then end likewise. If the chief is
    lost, JAX may notice first and end the process with a message of its own.

    Args:
      name: one of `specs.STRATEGIES`.

    Raises:
      A2vError: this strategy cannot work here.
    """
    backend = keras.backend.backend()
    if name == "none":
        yield Strategy()
    elif name == "mirrored" and backend == "tensorflow":
        yield _Mirrored()
    elif name == "mirrored" and backend == "jax":
        strategy = _DataParallel()
        with strategy.training():
            yield strategy
    elif name == "multi_worker":
        _join_workers()
        try:
            strategy = _DataParallel()
            with strategy.training():
                yield strategy
        except BaseException as error:
            _exit_at_once(error)
    else:
        raise A2vError(
            f"--strategy={name}: expected KERAS_BACKEND=tensorflow or jax, not {backend}"
        )


def check_settings(strategy: Strategy, settings: TrainSettings) -> None:
    """Raise `A2vError` unless a run with these settings can be spread over the devices.

    All processes must call it, since it also checks that their settings are the same.
    """
    if settings.batch_size % strategy.devices:
        raise A2vError(
            f"--batch_size={settings.batch_size}: expected a multiple of the {strategy.devices} "
            f"devices of --strategy={settings.strategy}"
        )
    tasks = find_tasks(settings.task_names, settings.teachers or ())
    alone = isinstance(strategy, _Mirrored) and strategy.devices > 1
    if alone and multi_head.loss_needs_whole_batch(tasks):
        raise A2vError(
            f"--strategy=mirrored: under TensorFlow a device sees its part of the batch alone, and "
            f"--task={settings.task} needs all of it; expected KERAS_BACKEND=jax"
        )
    if (
        settings.frontend == "device"
        and settings.strategy != "none"
        and (multi_head.cuts_across(tasks))
    ):
        raise A2vError(
            f"--frontend=device: not with --strategy={settings.strategy} for triplet, whose slices "
            "come from other examples; expected --frontend=host"
        )
    ours = settings.as_config()
    for flag, value in strategy.from_chief(lambda: ours).items():
        if ours[flag] != value:
            raise A2vError(
                f"--{flag}={ours[flag]}: expected {value}, as for the first of the workers"
            )


def cluster(tf_config: str) -> tuple[list[str], int]:
    """Read the workers from TF_CONFIG, as `tf.distribute` defines it.

    Returns:
      The addresses "HOST:PORT" of the workers, the chief first, and this process's index.

    Raises:
      A2vError: it is not a cluster of workers.
    """
    try:
        config = json.loads(tf_config)
        jobs, task = config["cluster"], config["task"]
        addresses = [*jobs.get("chief", []), *jobs["worker"]]
        index = int(task["index"]) + (len(jobs.get("chief", [])) if task["type"] == "worker" else 0)
    except (ValueError, KeyError, TypeError, AttributeError):
        addresses, index, task = [], -1, {}
    known = {"chief", "worker"}
    if not 0 <= index < len(addresses) or task["type"] not in known or jobs.keys() - known:
        raise A2vError(
            f"TF_CONFIG={tf_config!r}: expected "
            '{"cluster": {"worker": ["HOST:PORT", ...]}, "task": {"type": "worker", "index": N}}'
        )
    return addresses, index


@contextlib.contextmanager
def batch_norm_of_one_device(model: keras.Model) -> Iterator[None]:
    """Save a model in this context: its batch norm layers are not synchronised in the file."""
    synchronised = [layer for layer in _batch_norms(model) if layer.synchronized]
    for layer in synchronised:
        layer.synchronized = False
    try:
        yield
    finally:
        for layer in synchronised:
            layer.synchronized = True


def synchronise_batch_norm(strategy: Strategy, model: keras.Model) -> None:
    """Let batch norm use the statistics of the whole batch, before the model is first run.

    Under JAX it always does, since the devices compute one program. Under TensorFlow it is an
    option of the layers. It is set here, not in the model: a file with it could be loaded under
    TensorFlow only.
    """
    if isinstance(strategy, _Mirrored):
        for layer in _batch_norms(model):
            layer.synchronized = True


class _Alone(keras.callbacks.Callback):
    """Call a callback so that it involves no other process.

    What Keras creates while a model trains on many devices is on all of them, so all processes must
    create it. Such a model runs only if all processes run it, on batches that can be shared
    equally. Hence the copy of the model for a callback that runs it.
    """

    def __init__(
        self, callback: keras.callbacks.Callback, copy: keras.Model | None, strategy: Strategy
    ) -> None:
        super().__init__()
        self._callback = callback
        self._copy = copy
        self._strategy = strategy

    def set_params(self, params: dict[str, Any]) -> None:
        super().set_params(params)
        self._callback.set_params(params)

    def set_model(self, model: keras.Model) -> None:
        super().set_model(model)
        self._callback.set_model(self._copy or model)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._callback.on_train_begin(logs)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._callback.on_epoch_begin(epoch, logs)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        weights = self.model.get_weights()
        with self._strategy.alone():
            if self._copy:
                self._copy.set_weights(weights)
            self._callback.on_epoch_end(epoch, logs)


@contextlib.contextmanager
def _distributed_by(distribution: Any) -> Iterator[None]:
    before = keras.distribution.distribution()
    keras.distribution.set_distribution(distribution)
    try:
        yield
    finally:
        keras.distribution.set_distribution(before)


def _batch_norms(model: keras.Model) -> Iterator[keras.layers.BatchNormalization]:
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _batch_norms(layer)
        elif isinstance(layer, keras.layers.BatchNormalization):
            yield layer


def _join_workers() -> None:
    """Connect to the other processes; must come before JAX computes anything."""
    tf_config = os.environ.get("TF_CONFIG")
    addresses, index = cluster(tf_config) if tf_config else ([], None)
    if keras.backend.backend() != "jax":
        raise A2vError(
            "--strategy=multi_worker: expected KERAS_BACKEND=jax, not "
            f"{keras.backend.backend()}, under which Keras 3 cannot train in several processes"
        )
    try:
        if addresses:
            keras.distribution.initialize(addresses[0], len(addresses), index)
        else:
            keras.distribution.initialize()
    except (ValueError, RuntimeError) as error:
        raise A2vError(
            f"--strategy=multi_worker: {_first_line(error)}; expected TF_CONFIG, a launcher that "
            "JAX knows (srun, mpirun), or KERAS_DISTRIBUTION_JOB_ADDRESSES, _NUM_PROCESSES and "
            "_PROCESS_ID"
        ) from error


def _exit_at_once(error: BaseException) -> NoReturn:
    """End the process with the message of `run_app`, without waiting for other workers."""
    code = 1
    if isinstance(error, SystemExit | GeneratorExit):
        raise error
    if isinstance(error, KeyboardInterrupt):
        message, code = "interrupted", 130
    elif isinstance(error, A2vError):
        message = f"error: {error}"
    elif any(sign in str(error).lower() for sign in _SIGNS_OF_LOSS):
        message = (
            f"error: lost another worker ({_first_line(error)}); run the same command on all "
            "workers again to resume from the last round"
        )
    else:
        message = traceback.format_exc()
    print(message, file=sys.stderr)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
