"""Several models embed one clip, block by block."""

import threading

import numpy as np
import pytest

from a2v_tf.audio.read import AudioFileError
from a2v_tf.errors import A2vError
from a2v_tf.runtime.clips import ClipEmbeddings, EmbedClip
from a2v_tf.runtime.side_by_side import side_by_side

TIMES = np.arange(3)


def model(dims: int, times=TIMES):
    """The sum of all samples times 1, 2, ... in each of three embeddings."""

    def embed(blocks):
        total = sum(float(block.sum()) for block in blocks)
        values = np.tile(total * np.arange(1, dims + 1), (3, 1))
        return ClipEmbeddings(times, times + 10, values)

    return EmbedClip(embed)


@EmbedClip
def broken(blocks):
    next(iter(blocks))
    raise A2vError("broken")


def blocks(count=50):
    for _ in range(count):
        yield np.ones(2, np.float32)


def test_embeddings_are_concatenated():
    found = side_by_side([model(1), model(2), model(1)])(blocks())
    np.testing.assert_array_equal(found.embeddings, np.tile([100, 100, 200, 100], (3, 1)))
    np.testing.assert_array_equal(found.starts, TIMES)
    alone = model(2)
    assert side_by_side([alone]) is alone


def test_other_stretches_are_refused():
    with pytest.raises(A2vError, match="describe other stretches of a clip"):
        side_by_side([model(1), model(1, TIMES + 1)])(blocks())


def test_other_sample_rates_are_refused():
    other = EmbedClip(model(1).embed, 8_000)
    with pytest.raises(A2vError, match="take sound at 8000 and 16000 Hz: expected models of one"):
        side_by_side([model(1), other])


@pytest.mark.parametrize("models", [(broken, model(1)), (model(1), broken), (broken, broken)])
def test_an_error_of_a_model_ends_all(models):
    before = threading.active_count()
    with pytest.raises(A2vError, match="broken"):
        side_by_side(models)(blocks())
    assert threading.active_count() == before


def test_a_file_that_cannot_be_read_to_its_end():
    def damaged():
        yield from blocks(3)
        raise AudioFileError("damaged")

    with pytest.raises(AudioFileError, match="damaged"):
        side_by_side([model(1), model(1)])(damaged())


def test_few_blocks_wait():
    """A model that reads slowly holds the reading up."""
    given, read = [], threading.Event()

    def counted():
        for block in blocks(20):
            given.append(block)
            yield block

    @EmbedClip
    def slow(blocks):
        blocks = iter(blocks)
        next(blocks)
        read.wait(60)
        return model(1)(blocks)

    @EmbedClip
    def eager(blocks):
        found = next(blocks)
        seen = [len(found)]
        for block in blocks:
            seen.append(len(block))
            if len(seen) == 3:
                assert len(given) < 10
                read.set()
        return ClipEmbeddings(TIMES, TIMES + 10, np.zeros((3, 1)))

    assert side_by_side([slow, eager])(counted()).embeddings.shape == (3, 2)
    assert len(given) == 20
