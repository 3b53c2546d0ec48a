package org.a2vtf.core;

/**
 * Cuts a stream of samples into hops and embeds each hop. The results do not depend on how the
 * stream is divided into calls.
 *
 * <p>Call {@link #feed} and {@link #reset} on one thread; {@link #samples} and {@link #embedNanos}
 * may be called on any thread.
 */
public final class EmbeddingStream {
  private static final float SCALE = 1f / 32_768f;

  /** Receives results, on the feeding thread. Arrays are reused: copy what you keep. */
  public interface Listener {
    /**
     * @param embedding embedding of the window that ends at {@code endSample}
     * @param endSample number of samples of the stream so far, a multiple of the hop
     */
    void onEmbedding(float[] embedding, long endSample);

    /**
     * Called before the embedding that ends with these frames.
     *
     * @param logMel {@code [frames * LogMel.BINS]}, the array may be longer
     * @param frames number of frames, at least 1
     */
    void onFrames(float[] logMel, int frames);
  }

  private final Encoder encoder;
  private final LogMel logMel;
  private final Listener listener;
  private final float[] hop;
  private final float[] embedding;
  private final float[] frames;
  private int waiting; // samples in `hop`
  private volatile long samples;
  private volatile long embedNanos;

  /**
   * Starts a stream.
   *
   * @param encoder is reset; the caller closes it
   * @param logMel is reset; null if the listener needs no frames
   * @param listener receives the results
   */
  public EmbeddingStream(Encoder encoder, LogMel logMel, Listener listener) {
    this.encoder = encoder;
    this.logMel = logMel;
    this.listener = listener;
    hop = new float[encoder.hopSamples()];
    embedding = new float[encoder.embeddingDim()];
    FrontEnd spec = logMel == null ? FrontEnd.PAPERS : logMel.frontEnd();
    frames = new float[(hop.length / spec.hop + 1) * spec.bins];
    reset();
  }

  /**
   * Takes the next samples of the stream.
   *
   * @param pcm samples
   * @param offset index of the first sample in {@code pcm}
   * @param count number of samples
   */
  public void feed(short[] pcm, int offset, int count) {
    Ranges.check(pcm.length, offset, count);
    int end = offset + count;
    for (int next = offset; next < end; ) {
      int taken = Math.min(end - next, hop.length - waiting);
      take(pcm, next, taken);
      next += taken;
    }
  }

  /** Starts a new stream: resets the encoder and the front end. */
  public void reset() {
    encoder.reset();
    if (logMel != null) {
      logMel.reset();
    }
    waiting = 0;
    samples = 0;
    embedNanos = 0;
  }

  /** Samples of the stream so far. */
  public long samples() {
    return samples;
  }

  /**
   * Nanoseconds spent in the encoder so far. The real-time factor is {@code embedNanos / 1e9}
   * divided by {@code samples / 16000.0}.
   */
  public long embedNanos() {
    return embedNanos;
  }

  /** Takes samples that fit into the current hop. */
  private void take(short[] pcm, int offset, int count) {
    for (int i = 0; i < count; i++) {
      hop[waiting + i] = pcm[offset + i] * SCALE;
    }
    int done = logMel == null ? 0 : logMel.feed(hop, waiting, count, frames);
    waiting += count;
    samples = samples + count;
    if (done > 0) {
      listener.onFrames(frames, done);
    }
    if (waiting == hop.length) {
      waiting = 0;
      embed();
    }
  }

  private void embed() {
    long start = System.nanoTime();
    encoder.embed(hop, embedding);
    embedNanos = embedNanos + System.nanoTime() - start;
    listener.onEmbedding(embedding, samples);
  }
}
