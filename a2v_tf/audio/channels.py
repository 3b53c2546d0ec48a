"""One channel of several: their mean, the left one, or the loudest one of the recording."""

from __future__ import annotations

import numpy as np

from a2v_tf.audio.errors import DecodeError

# A mean that is 40 dB below its channels: these are each other's negative.
_CANCELLED = 1e-4


class Mono:
    """Reduces blocks of a recording to one channel, and notices channels that cancel each other."""

    def __init__(self, channel: int | None) -> None:
        """Use channel number `channel`, or the mean of all for None."""
        self._channel = channel
        self._mixed = self._apart = 0.0

    def __call__(self, pcm: np.ndarray) -> np.ndarray:
        """Reduce float32 `[channels, samples]` to `[samples]`."""
        if len(pcm) == 1:
            return pcm[0]
        if self._channel is not None:
            return pcm[min(self._channel, len(pcm) - 1)]
        with np.errstate(all="ignore"):  # infinity is found later
            # The same bits as the mean, in half the time.
            mixed = (pcm[0] + pcm[1]) * np.float32(0.5) if len(pcm) == 2 else pcm.mean(axis=0)
            self._mixed += float(mixed @ mixed)
            self._apart += float(np.vdot(pcm.T, pcm.T)) / len(pcm)
        return mixed

    def check(self) -> None:
        """Raise `DecodeError` if the channels so far cancel each other in their mean."""
        if self._apart > 0 and self._mixed < _CANCELLED * self._apart:
            raise DecodeError(
                "its channels cancel each other in their mean (antiphase): choose one by "
                "--channels=left or loudest"
            )


class Energies:
    """The energy of each channel of a recording."""

    def __init__(self) -> None:
        self._energies = np.zeros(0)

    def add(self, pcm: np.ndarray) -> None:
        """Take the next block, float32 `[channels, samples]`."""
        if len(pcm) > len(self._energies):
            self._energies = np.pad(self._energies, (0, len(pcm) - len(self._energies)))
        self._energies[: len(pcm)] += np.einsum("cs,cs->c", pcm, pcm)

    @property
    def loudest(self) -> int:
        """The number of the channel with the most energy."""
        return int(self._energies.argmax()) if len(self._energies) else 0
