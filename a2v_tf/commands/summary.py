"""Print an encoder's layers with their sizes, parameters and FLOPs: the `a2v_summary` command.

  a2v_summary --encoder=small
  a2v_summary --encoder=vgg6 --frames=96

The small encoder's are printed beside those of ICLR Table 1.
"""

from absl import flags

from a2v_tf.errors import run_app
from a2v_tf.frontend import FRONT_END
from a2v_tf.specs import ENCODERS, find_encoder

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Define the command's flags; not on import, so that commands can be imported together."""
    flags.DEFINE_string(
        "encoder",
        "small",
        f"Encoder architecture: {', '.join(ENCODERS)}, or package.module:NAME of one of your own.",
    )
    flags.DEFINE_integer("frames", 96, "N, the number of frames of a slice.", lower_bound=1)
    flags.DEFINE_integer(
        "bins", FRONT_END.mel_bins, "F, the number of frequency bins.", lower_bound=1
    )


def main(_: list[str]) -> None:
    """Print the table."""
    config = find_encoder(FLAGS.encoder)
    from a2v_tf.models.layer_table import table_text

    shape = f"{FLAGS.frames} x {FLAGS.bins} log-mel values -> {config.embedding_dim}"
    print(f"{FLAGS.encoder}: {shape}")
    print(table_text(FLAGS.encoder, FLAGS.frames, FLAGS.bins))
    step_ms = 1000 * config.step_frames * FRONT_END.hop_length / FRONT_END.sample_rate
    print(f"A streaming step is {config.step_frames} frames ({step_ms:.0f} ms).")


def run() -> None:
    """Entry point of `a2v_summary`."""
    run_app(main, define_flags)


if __name__ == "__main__":
    run()
