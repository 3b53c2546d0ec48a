"""The settings of a training run: every flag of `a2v_train`, its default, help and checks."""

import dataclasses
import functools
import math
from collections.abc import Mapping
from typing import Any

from a2v_tf.errors import A2vError
from a2v_tf.frontend import FRONT_END, RATES, FrontEnd
from a2v_tf.plugins import is_reference
from a2v_tf.settings import check_fields, setting
from a2v_tf.specs import (
    AUTOENCODERS,
    CHANNELS,
    CLIP,
    MAX_BAD_FRACTION,
    MIX_DB,
    PERIOD,
    PRECISIONS,
    SLICE_DECODERS,
    SOURCE_OPTIONS,
    SPECTROGRAM,
    STRATEGIES,
    Slicing,
    TaskOptions,
    find_encoder,
)
from a2v_tf.tasks import DEFAULT_HEADS, DISTILL, MULTI_HEAD, SUPERVISED, TASKS, task_names

_CONTRASTIVE = ("contrastive", "transposition")
_AUGMENTED = (*TASKS, DISTILL)
_RECONSTRUCTING = ("cbow", "skip_gram", "autoencoder")
_AROUND = ("cbow", "skip_gram")
# Settings of other tasks that do not go with distill, which gets slices from a cache.
_NOT_DISTILLED = {
    "validation_data": None,
    "gain_db": 0.0,
    "crops_per_clip": 1,
    "frontend": "host",
}
# The settings of `front_end`.
_FRONT_END = (
    "representation",
    "sample_rate",
    "frame_ms",
    "frame_hop_ms",
    "fft_length",
    "mel_bins",
    "low_hz",
    "high_hz",
)
_HIGHEST = FRONT_END.mel_high_hz / (FRONT_END.sample_rate / 2)  # of half the sample rate
_DECAY = 5  # without --decay_steps, the rate of trapezoid falls over the last fifth of --steps


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """Settings of a run; each field is a flag of `a2v_train` and a key of `config.json`.

    Metadata of a field besides its flag's: `tasks`, which tasks it is for (None: all; a task from
    another package may use any), `free`, whether a resumed run may change it, and `before`, what
    runs of versions without this setting did, if not what is now the default.

    Raises:
      A2vError: a value is out of range, or does not go with the others.
    """

    task: str = setting(
        "cbow",
        f"What to learn: {', '.join(TASKS)}; distill: what --teachers make of the audio; "
        "multi_head: several tasks at once, see --heads; "
        "supervised: the labels of --data; or package.module:TASK, a Task of your own.",
    )
    data: str = setting(
        "demo",
        "Audio to learn from: 'demo', a directory searched recursively, "
        "tfds:NAME[/CONFIG][:SPLIT], or package.module:SOURCE, a source of your own. Or "
        "spectrogram:DIR[:SPLIT], CSV files of band levels, one frame a row; SPLIT is train (the "
        "default), val or test. For supervised: labelled data as in a2v_evaluate --downstream, one "
        "head for each data set.",
    )
    validation_data: str | None = setting(
        None,
        "Audio for the validation loss, given like --data. Default: crops of the training "
        "recordings that are not trained on, which rank steps but do not show overfitting; "
        "for spectrogram:DIR its val files, if any.",
        tasks=TASKS,
    )
    model_dir: str = setting(
        dataclasses.MISSING,
        "Directory to write: checkpoints, the encoder, the log, TensorBoard events.",
        free=True,
    )
    encoder: str = setting(
        "small",
        "Encoder: small (ICLR Table 1), large, vgg6, multiscale, or package.module:CONFIG, one of "
        "your own.",
    )
    initial_encoder: str | None = setting(
        None,
        "Model directory, or the name of a pretrained encoder, whose weights the encoder starts "
        "with, instead of random ones; of the same --encoder and --frames. Its input is "
        "standardised as it was there.",
    )
    steps: int = setting(10_000, "Steps to train for, in all.", low=1, free=True)
    batch_size: int = setting(256, "Examples in a step, on all devices.", low=1)
    strategy: str = setting(
        "none",
        "none: one device; mirrored: all devices of this machine; multi_worker: several processes, "
        "on one machine or more, each started with the same command.",
        choices=STRATEGIES,
        free=True,
    )
    learning_rate: float | None = setting(
        None, "Learning rate of Adam. Default: the task's; of the papers' tasks, theirs.", low=0.0
    )
    schedule: str = setting(
        "constant",
        "Learning rate over --steps; papers: constant. cosine: with a warm-up of 2 % of the steps. "
        "trapezoid: a warm-up of --warmup_steps, then constant, then linear to 0 over the last "
        "--decay_steps; until these begin, a run can be resumed with other --steps.",
        choices=("constant", "cosine", "trapezoid"),
    )
    warmup_steps: int = setting(
        100, "Steps in which --schedule=trapezoid raises the learning rate from 0.", low=0
    )
    decay_steps: int | None = setting(
        None,
        "Last steps, over which --schedule=trapezoid lowers the learning rate to 0. Default: a "
        "fifth of --steps.",
        low=1,
    )
    clip_norm: float | None = setting(
        None,
        "Largest norm of the gradient of all weights together; a longer one is scaled down. "
        "Default: no limit.",
        low=1e-6,
    )
    weight_decay: float | None = setting(
        None,
        "Decoupled weight decay of Adam, for example 0.01: each step also takes this times the "
        "learning rate off each weight, biases and batch norm excepted. Papers: none.",
        low=0.0,
    )
    dropout: float = setting(
        TaskOptions.dropout,
        "Fraction of each embedding that is set to 0 before the heads, during training; the "
        "encoder stays as it is. Papers: 0.",
        low=0.0,
        high=0.99,
    )
    average_weights: float | None = setting(
        None,
        "Momentum of an exponential moving average of the weights, for example 0.999: it is what "
        "validation measures and what is saved, with batch norm statistics of its own. Default: "
        "the weights themselves.",
        low=0.0,
        high=0.999999,
    )
    whiten: float = setting(
        0.0,
        "When training ends, multiply the embedding by this power of its covariance's inverse, in "
        "the last layer of encoder.keras: its largest directions then count less. 0.5 whitens it "
        "completely.",
        low=0.0,
        high=0.5,
        free=True,
    )
    seed: int = setting(0, "Seed of weights, crops and their order.", low=0)
    eval_every: int = setting(
        500,
        "Steps in a round. Each round ends with validation, a checkpoint and a row in the log; "
        "the last one may be shorter.",
        low=1,
    )
    probe: str | None = setting(
        None,
        "Labelled data, as in a2v_evaluate --downstream, to evaluate the encoder on after each "
        "round by a linear probe (ICLR Figure 2a). The accuracies go to probes.csv, train_log.csv "
        "and TensorBoard.",
    )
    validation_examples: int = setting(1024, "Examples of the validation loss.", low=1)
    resume: str = setting(
        "auto",
        "auto: resume from the last checkpoint if there is one; always: fail if there is none; "
        "never: fail if there is one.",
        choices=("auto", "always", "never"),
        free=True,
    )
    representation: str = setting(
        "log_mel",
        "What a frame is; papers: log_mel. stft: the logarithm of the magnitudes of the "
        "short-time Fourier transform, of each of its frequencies from --low_hz to --high_hz.",
        choices=("log_mel", "stft"),
    )
    sample_rate: int = setting(
        FRONT_END.sample_rate,
        "Samples per second, in Hz, that recordings are resampled to.",
        low=RATES[0],
        high=RATES[1],
    )
    frame_ms: float = setting(25.0, "Milliseconds of a frame: the length of its window.", low=0.0)
    frame_hop_ms: float = setting(
        10.0, "Milliseconds from one frame to the next; a whole number of samples.", low=0.0
    )
    fft_length: int | None = setting(
        None,
        "Length of the Fourier transform of a frame. Default: the least power of two that is not "
        "shorter than the frame.",
        low=2,
    )
    mel_bins: int = setting(FRONT_END.mel_bins, "Mel bins of log_mel.", low=1)
    low_hz: float = setting(FRONT_END.mel_low_hz, "Lower limit of the band in Hz.", low=0.0)
    high_hz: float | None = setting(
        None,
        "Upper limit of the band in Hz. Default: 0.975 times half of --sample_rate, which is the "
        "papers' 7800 Hz at 16 kHz.",
        low=0.0,
    )
    frames: int = setting(Slicing.frames, "N: frames of a slice.", low=1)
    context: int = setting(Slicing.context, "P: slices on each side of the middle one.", low=1)
    context_before: int | None = setting(
        Slicing.context_before,
        "Slices before the middle one. Default: --context. 0: predict from, or predict, only what "
        "follows.",
        low=0,
        tasks=_AROUND,
    )
    context_after: int | None = setting(
        Slicing.context_after,
        "Slices after the middle one. Default: --context. 0: predict from, or predict, only what "
        "came before.",
        low=0,
        tasks=_AROUND,
    )
    gap: int = setting(Slicing.gap, "G: frames between two slices.", low=0)
    max_frames: int | str | None = setting(
        Slicing.max_frames,
        "N_max: frames within which the two slices of temporal_gap, triplet and contrastive lie. "
        "Default: the span of Audio2Vec, 488; papers: their whole clips of 10 s, 998. clip: each "
        "clip's own length; the log-mel of the clips is then kept as with --cache.",
        low=1,
        words=(CLIP,),
        tasks=("temporal_gap", "triplet", "contrastive"),
    )
    variant: str = setting(
        TaskOptions.variant, "Kind of autoencoder.", choices=AUTOENCODERS, tasks=("autoencoder",)
    )
    noise: float = setting(
        TaskOptions.noise,
        "Noise that --variant=denoising adds to the log-mel values, in their standard deviations.",
        low=0.0,
        high=1.0,
        tasks=("autoencoder",),
    )
    slice_decoder: str = setting(
        TaskOptions.slice_decoder,
        "Decoder of log-mel slices. mirror, as in the papers: the encoder's layers in reverse "
        "order, where one vector is repeated over the encoder's last feature map. dense: a dense "
        "layer computes every value of that map, which takes three times the weights and more.",
        choices=SLICE_DECODERS,
        tasks=_RECONSTRUCTING,
        before="dense",
    )
    margin: float = setting(
        TaskOptions.margin,
        "Margin of the triplet loss, in squared distance between embeddings of unit length.",
        low=1e-6,
        tasks=("triplet",),
    )
    temperature: float = setting(
        TaskOptions.temperature,
        "Divides the cosine similarities of contrastive and transposition.",
        low=1e-3,
        tasks=_CONTRASTIVE,
    )
    decorrelation: float = setting(
        TaskOptions.decorrelation,
        "Weight, in the losses of contrastive and transposition, of the squared correlations "
        "between the embedding's dimensions.",
        low=0.0,
        tasks=_CONTRASTIVE,
    )
    heads: tuple[str, ...] = setting(
        DEFAULT_HEADS, "Tasks that --task=multi_head learns.", tasks=(MULTI_HEAD,)
    )
    head_weights: tuple[str, ...] | None = setting(
        None,
        "Factors of the losses of --heads in their sum. Default: 1 each.",
        tasks=(MULTI_HEAD,),
    )
    teachers: tuple[str, ...] | None = setting(
        None,
        "Models that distill learns from: names of a2v_tf.teachers, model:DIR, tflite:FILE or "
        "python:MODULE:FUNCTION.",
        tasks=(DISTILL,),
    )
    teacher_weights: tuple[str, ...] | None = setting(
        None, "Factors of the losses of --teachers in their sum. Default: 1 each.", tasks=(DISTILL,)
    )
    components: int = setting(
        64,
        "Principal components of each teacher's outputs that distill predicts, at most.",
        low=1,
        tasks=(DISTILL,),
    )
    lead_frames: int = setting(
        0,
        "Frames before each slice that the encoder's convolutions also take for half of each "
        "batch, as they do in a stream; a multiple of the encoder's pooling in time. The other "
        "half, and with 0 all, begin with the slice, as in the papers.",
        low=0,
        tasks=(DISTILL,),
    )
    cache: str | None = setting(
        None,
        "Directory in which the log-mel spectrograms of all clips, 44 MB an hour, and what "
        "teachers make of them are kept; runs share it. Crops are then cheap, and equal to those "
        "without it up to rounding to half precision. Default: the user's cache directory for "
        "distill, otherwise none.",
        free=True,
        tasks=_AUGMENTED,
    )
    gain_db: float = setting(
        0.0,
        "Greatest random gain of a training crop, in decibels; papers: 0.",
        low=0.0,
        tasks=TASKS,
    )
    mix: float = setting(
        TaskOptions.mix,
        "Fraction of the slices that are mixed, during training, with a slice of another example, "
        f"{MIX_DB[0]:g} to {MIX_DB[1]:g} dB quieter; targets are not. Papers: 0.",
        low=0.0,
        high=1.0,
        tasks=_AUGMENTED,
    )
    slice_gain_db: float = setting(
        TaskOptions.slice_gain_db,
        "Greatest random gain of each slice during training, in decibels; targets are unchanged. "
        "For contrastive: the level then does not give the clip away. Papers: 0.",
        low=0.0,
        tasks=_AUGMENTED,
    )
    crops_per_clip: int = setting(
        1,
        "For tfds:NAME: random crops from a clip each time it is read. More make reading cheaper "
        "and the crops of a batch more alike.",
        low=1,
        tasks=TASKS,
    )
    frontend: str = setting(
        "host",
        "Where log-mel is computed: host, by the processor while the device trains; or device, "
        "from raw PCM within the training step. Both train on the same slices.",
        choices=("host", "device"),
        tasks=TASKS,
        free=True,
    )
    precision: str = setting(
        "float32",
        "What encoder and decoders compute in during training; what is saved is float32.",
        choices=PRECISIONS,
    )
    steps_per_execution: int = setting(
        1,
        "Steps that are handed to the device at once; --eval_every and --steps must be multiples. "
        "The loss is read back only after that many.",
        low=1,
        free=True,
    )
    max_bad_fraction: float = setting(
        MAX_BAD_FRACTION,
        "Fraction of the recordings that may be unusable before training stops.",
        low=0.0,
        high=1.0,
        free=True,
    )
    decoder: str = setting(
        "auto",
        "Audio decoder: soundfile; or tfio, in-graph, where tensorflow-io loads. auto: soundfile.",
        choices=("auto", "soundfile", "tfio"),
        free=True,
    )
    channels: str = setting(
        "mix",
        "What to use of recordings with several channels, of folders and CSVs: mix, their mean; "
        "left, the first; loudest, the one with the most energy in the whole recording.",
        choices=CHANNELS,
    )
    spectrogram_time: str | None = setting(
        None,
        "For spectrogram:DIR, the column of timestamps, ISO 8601 or seconds. Default: the first.",
    )
    spectrogram_columns: tuple[str, ...] | None = setting(
        None,
        "For spectrogram:DIR, the columns of the bands: names or FIRST:LAST, as in 20:12500. "
        "Default: all numeric columns after the timestamps.",
    )
    spectrogram_period: float = setting(
        PERIOD, "For spectrogram:DIR, seconds from one frame to the next.", low=1e-6
    )

    def __post_init__(self) -> None:
        check_fields(self)
        self._check_names()
        self._check_front_end()
        self._check_tasks()
        self._check_rounds()
        self._check_data()

    @property
    def task_names(self) -> tuple[str, ...]:
        """The self-supervised tasks that are learned: `heads`, if the task is multi_head."""
        return task_names(self.task, self.heads)

    @property
    def decay_start(self) -> int:
        """The step from which the learning rate depends on --steps."""
        if self.schedule == "constant":
            return self.steps
        if self.schedule == "cosine":
            return 0
        return max(0, self.steps - (self.decay_steps or max(1, self.steps // _DECAY)))

    @property
    def task_factors(self) -> list[float]:
        """Factors of the losses, in the order of `tasks.task.find_tasks`."""
        heads = dict(zip(self.heads, self.head_weights, strict=True)) if self.head_weights else {}
        teachers = self.teachers or ()
        of_teachers = [float(weight) for weight in self.teacher_weights or ["1"] * len(teachers)]
        factors = []
        for name in self.task_names:
            head = float(heads.get(name, 1.0))
            factors += [head * x for x in of_teachers] if name == DISTILL else [head]
        return factors

    @property
    def slicing(self) -> Slicing:
        """N, P, G and N_max."""
        return Slicing(**{f.name: getattr(self, f.name) for f in dataclasses.fields(Slicing)})

    @property
    def task_options(self) -> TaskOptions:
        """What tasks leave open."""
        return TaskOptions(
            **{f.name: getattr(self, f.name) for f in dataclasses.fields(TaskOptions)}
        )

    @property
    def source_options(self) -> dict[str, Any]:
        """The settings that `data.sources.open_source` takes."""
        options = {name: getattr(self, name) for name in SOURCE_OPTIONS}
        return {**options, "front_end": self.front_end}

    @functools.cached_property
    def front_end(self) -> FrontEnd:
        """What makes frames of audio.

        Raises:
          A2vError: there is no such front end.
        """
        window, hop = (self._samples(name) for name in ("frame_ms", "frame_hop_ms"))
        nyquist = self.sample_rate / 2
        return FrontEnd(
            sample_rate=self.sample_rate,
            window_length=window,
            hop_length=hop,
            fft_length=self.fft_length or 1 << max(0, window - 1).bit_length(),
            mel_bins=self.mel_bins if self.representation == "log_mel" else 0,
            mel_low_hz=self.low_hz,
            mel_high_hz=_HIGHEST * nyquist if self.high_hz is None else self.high_hz,
            log_offset=FRONT_END.log_offset * window / FRONT_END.window_length,
        )

    def _samples(self, name: str) -> int:
        """A time in samples."""
        value = getattr(self, name)
        samples = value * self.sample_rate / 1000
        if not math.isclose(samples, round(samples), rel_tol=1e-9):
            raise A2vError(
                f"--{name}={value:g}: is {samples:g} samples at --sample_rate={self.sample_rate}: "
                "expected a whole number of samples"
            )
        return round(samples)

    def rounds(self) -> int:
        """Rounds in all; the last may be shorter than `eval_every`."""
        return -(-self.steps // self.eval_every)

    def step_after(self, round_index: int) -> int:
        """Steps trained by the end of a round, which is counted from 0."""
        return min((round_index + 1) * self.eval_every, self.steps)

    def as_config(self) -> dict[str, Any]:
        """The settings as `config.json` holds them."""
        values = dataclasses.asdict(self)
        return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}

    def check_resumes(self, config: Mapping[str, Any], step: int) -> None:
        """Raise `A2vError` unless these are the settings of the run that `config.json` describes.

        Fields marked `free` may differ; --steps and --decay_steps if the learning rate of the
        first `step` steps, which are trained, does not depend on them.
        """
        self._check_schedule_resumes(config, step)
        now = self.as_config()
        for field in sorted(dataclasses.fields(self), key=lambda field: field.name):
            name, free = field.name, field.metadata.get("free", False)
            if name in ("steps", "decay_steps"):
                free = True  # checked above
            if name == "learning_rate" and self.learning_rate is None:
                free = True  # the default, which is not known yet
            was = config.get(name, self._before(field))
            if not free and was != now[name]:
                raise A2vError(
                    f"{self.model_dir!r} was trained with --{name}={was}, not {now[name]}: use "
                    "that value to resume, or another --model_dir"
                )

    def _before(self, field: dataclasses.Field) -> Any:
        """What a run of a version without this setting did, as `config.json` would hold it."""
        if "before" in field.metadata and applies(field.name, self.task, self.task_names):
            return field.metadata["before"]
        return list(field.default) if isinstance(field.default, tuple) else field.default

    def _check_schedule_resumes(self, config: Mapping[str, Any], step: int) -> None:
        was = dataclasses.replace(
            self,
            **{
                name: config.get(name, getattr(self, name))
                for name in ("schedule", "steps", "decay_steps")
            },
        )
        if was == self or step <= min(was.decay_start, self.decay_start):
            return
        if self.schedule == "constant":  # fewer steps than are trained
            return
        name = "steps" if was.steps != self.steps else "decay_steps"
        raise A2vError(
            f"{self.model_dir!r} was trained with --{name}={getattr(was, name)}, not "
            f"{getattr(self, name)}: use that value to resume, or another --model_dir; with "
            f"--schedule={self.schedule} it can change only before the learning rate falls, and "
            f"{step} steps are trained"
        )

    def _check_front_end(self) -> None:
        front_end = self.front_end
        if self.representation != "log_mel" and self.mel_bins != FRONT_END.mel_bins:
            raise A2vError(
                f"--mel_bins={self.mel_bins}: for --representation=log_mel, not for "
                f"{self.representation}"
            )
        if front_end.window_length > self.frames * front_end.hop_length:
            raise A2vError(
                f"--frame_ms={self.frame_ms:g}: is longer than a slice of --frames={self.frames} "
                f"every {self.frame_hop_ms:g} ms"
            )
        if front_end == FRONT_END:
            return
        flag = self._front_end_flag()
        if self.data.startswith(SPECTROGRAM):
            raise A2vError(f"{flag}: for audio, not for the frames of --data={self.data}")
        if DISTILL in self.task_names:
            raise A2vError(
                f"{flag}: not with distill, whose teachers take slices of 975 ms at 16 kHz"
            )

    def _front_end_flag(self) -> str:
        """The first flag of the front end that does not have its default."""
        changed = (field for field in dataclasses.fields(self) if field.name in _FRONT_END)
        name = next(f.name for f in changed if getattr(self, f.name) != f.default)
        return f"--{name}={getattr(self, name)}"

    def _check_names(self) -> None:
        known = (*TASKS, DISTILL, MULTI_HEAD, SUPERVISED)
        if self.task not in known and not is_reference(self.task):
            raise A2vError(
                f"--task={self.task}: expected one of {', '.join(known)}, or package.module:TASK"
            )
        heads = (*TASKS, DISTILL)
        unknown = [name for name in self.heads if name not in heads and not is_reference(name)]
        if unknown or not self.heads or len(set(self.heads)) < len(self.heads):
            raise A2vError(
                f"--heads={','.join(self.heads)}: expected some of {','.join(heads)} or "
                "package.module:TASK, each once"
            )
        find_encoder(self.encoder)

    def _check_tasks(self) -> None:
        """Settings of other tasks must have their defaults."""
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value != field.default and not applies(field.name, self.task, self.task_names):
                tasks = ", ".join(sorted(field.metadata["tasks"]))
                shown = ",".join(value) if isinstance(value, tuple) else value
                raise A2vError(f"--{field.name}={shown}: for {tasks}, not for --task={self.task}")
        _check_weights("head_weights", self.head_weights, self.heads)
        if DISTILL in self.task_names:
            self._check_distill()

    def _check_distill(self) -> None:
        if not self.teachers or len(set(self.teachers)) < len(self.teachers):
            raise A2vError(
                f"--teachers={','.join(self.teachers or ())}: expected the teachers of "
                f"--task={self.task}, each once"
            )
        _check_weights("teacher_weights", self.teacher_weights, self.teachers)
        if self.lead_frames:
            self._check_lead()
        if self.slicing.whole_clips:
            raise A2vError(f"--max_frames={CLIP}: not with distill, whose slices are cached")
        for name, default in _NOT_DISTILLED.items():
            if getattr(self, name) != default:
                raise A2vError(
                    f"--{name}={getattr(self, name)}: not with distill, whose teachers' outputs "
                    "belong to the cached slices"
                )

    def _check_lead(self) -> None:
        flag = f"--lead_frames={self.lead_frames}"
        if self.task != DISTILL:
            raise A2vError(f"{flag}: for --task={DISTILL} alone, not as one of --heads")
        if self.strategy != "none":
            raise A2vError(f"{flag}: for one device, not for --strategy={self.strategy}")
        if self.batch_size % 2:
            raise A2vError(f"{flag}: expected an even --batch_size, not {self.batch_size}")
        step = find_encoder(self.encoder).step_frames
        for name, frames in (("lead_frames", self.lead_frames), ("frames", self.frames)):
            if frames % step:
                raise A2vError(
                    f"{flag} with --encoder={self.encoder}: expected --{name} to be a multiple of "
                    f"{step}, its pooling in time, not {frames}"
                )

    def _check_rounds(self) -> None:
        if self.average_weights and self.strategy != "none":
            raise A2vError(
                f"--average_weights={self.average_weights}: for one device, not for "
                f"--strategy={self.strategy}"
            )
        if not self.slicing.sides:
            raise A2vError(
                "--context_before=0 and --context_after=0: expected a slice before or after the "
                "middle one"
            )
        if self.slicing.reach < self.frames:
            raise A2vError(
                f"--max_frames={self.max_frames}: expected at least --frames={self.frames}"
            )
        for name in ("eval_every", "steps"):
            if getattr(self, name) % self.steps_per_execution:
                raise A2vError(
                    f"--steps_per_execution={self.steps_per_execution}: expected a divisor of "
                    f"--{name}={getattr(self, name)}"
                )

    def _check_data(self) -> None:
        is_spectrogram = self.data.startswith(SPECTROGRAM)
        if is_spectrogram and self.frontend == "device":
            raise A2vError(
                f"--frontend=device: for audio, not for the band levels of --data={self.data}"
            )
        if self.cache is not None:
            self._check_cache(is_spectrogram)
        if self.slicing.whole_clips:
            self._check_goes_with_cached(f"--max_frames={CLIP}")
            if self.gain_db:
                raise A2vError(
                    f"--gain_db={self.gain_db}: not with --max_frames={CLIP}, whose slices are of "
                    "no common crop; expected --slice_gain_db"
                )
        if self.crops_per_clip > 1 and not self.data.startswith("tfds:"):
            raise A2vError(
                f"--crops_per_clip={self.crops_per_clip}: for --data=tfds:NAME, whose clips are "
                f"read whole; of --data={self.data} only the crops are read"
            )

    def _check_cache(self, is_spectrogram: bool) -> None:
        if not self.cache:
            raise A2vError("--cache=: expected a directory")
        if is_spectrogram:
            raise A2vError(f"--cache={self.cache}: for audio, not for --data={self.data}")
        self._check_goes_with_cached("--cache")

    def _check_goes_with_cached(self, flag: str) -> None:
        for name, default in (("frontend", "host"), ("crops_per_clip", 1)):
            if getattr(self, name) != default:
                raise A2vError(
                    f"--{name}={getattr(self, name)}: not with {flag}, whose crops are log-mel "
                    "already"
                )


def applies(name: str, task: str, task_names: tuple[str, ...]) -> bool:
    """Whether a setting is for a task; a task from another package may use any."""
    (field,) = (field for field in dataclasses.fields(TrainSettings) if field.name == name)
    tasks = field.metadata.get("tasks")
    learned = {task, *task_names}
    return tasks is None or bool(learned & set(tasks)) or any(map(is_reference, learned))


def _check_weights(flag: str, weights: tuple[str, ...] | None, names: tuple[str, ...]) -> None:
    """Raise `A2vError` unless there are no weights, or a number for each of `names`."""
    if weights and not all(_is_weight(weight) for weight in weights):
        raise A2vError(f"--{flag}={','.join(weights)}: expected numbers of at least 0")
    if weights and len(weights) != len(names):
        raise A2vError(
            f"--{flag}={','.join(weights)}: expected {len(names)} numbers, one for each of "
            f"{', '.join(names)}"
        )


def _is_weight(text: str) -> bool:
    try:
        return 0 <= float(text) < math.inf
    except ValueError:
        return False
