"""Apache Beam, which spreads pieces of work over processes or machines (extra `[beam]`)."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from a2v_tf.errors import A2vError


def import_beam() -> Any:
    """Import `apache_beam`.

    Raises:
      A2vError: it is not installed.
    """
    try:
        import apache_beam
    except ImportError as error:
        raise A2vError(
            "Apache Beam is not installed: it comes with the extra [beam], pip install a2v_tf[beam]"
        ) from error
    return apache_beam


def pipeline_options(options: Sequence[str]) -> Any:
    """Beam's `PipelineOptions` of a --beam_pipeline_options, such as `["runner=FnApiRunner"]`."""
    parsed = import_beam().options.pipeline_options
    return parsed.PipelineOptions([f"--{option}" for option in options])


def spread(
    function: Callable[..., None],
    tasks: Iterable[Any],
    *arguments: Any,
    options: Any,
    runner: Any = None,
) -> Any:
    """Call a function for each of the tasks, on Beam's workers.

    Args:
      function: one that workers can import; it is called with a task and `arguments`.
      tasks: small, as they are part of the pipeline.
      *arguments: the same for all tasks.
      options: Beam's `PipelineOptions`.
      runner: one of Beam's; None for that of the options.

    Returns:
      Beam's result, with its counters.

    Raises:
      A2vError: Beam is not installed or fails.
    """
    beam = import_beam()
    try:
        with beam.Pipeline(runner, options) as pipeline:
            _ = pipeline | "Tasks" >> beam.Create(tasks) | "Make" >> beam.Map(function, *arguments)
    except Exception as error:  # each of Beam's runners has its own exceptions
        last_line = str(error).strip().splitlines()[-1]
        raise A2vError(
            f"Apache Beam: {last_line}; run the command again to resume from what is finished"
        ) from error
    return pipeline.result


def count(namespace: str, counts: Mapping[str, int]) -> None:
    """Add to Beam's counters, on a worker."""
    from apache_beam.metrics import Metrics

    for name, number in counts.items():
        Metrics.counter(namespace, name).inc(number)
