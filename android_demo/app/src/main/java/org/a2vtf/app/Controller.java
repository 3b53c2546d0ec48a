package org.a2vtf.app;

import java.io.IOException;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.locks.LockSupport;
import org.a2vtf.core.EmbeddingStream;
import org.a2vtf.core.Encoder;
import org.a2vtf.core.LogMel;
import org.a2vtf.core.Neighbours;
import org.a2vtf.core.Novelty;
import org.a2vtf.core.Projection;
import org.a2vtf.core.RingBuffer;

/**
 * Listens and teaches, without UI.
 *
 * <p>One thread only reads the source into a ring buffer; a second one embeds. Methods may be
 * called on any thread, but {@link #start} and {@link #stop} only on one.
 */
public final class Controller {
  /** Samples in the window of an embedding: 975 ms. */
  public static final int SPAN = 15_600;

  private static final int BLOCK = LogMel.SAMPLE_RATE / 50;
  private static final int RING = LogMel.SAMPLE_RATE * 2;
  private static final long WAIT_NANOS = 5_000_000;
  private static final int STOP_MILLIS = 500;
  private static final double VOTE_SECONDS = 0.6;

  /** State of the controller. */
  public enum State {
    STOPPED,
    LISTENING,
    /** The source could not be opened or was lost: see {@link #failure}. */
    INTERRUPTED
  }

  /** Is called when the state or the taught sounds change, on any thread. */
  public interface Listener {
    void onChanged();
  }

  /** Result of the recognition of a sound. */
  public static final class Recognised {
    /** The nearest taught label, even if it is unknown. */
    public final String label;

    /** Euclidean distance in the embedding space. */
    public final double distance;

    /** Whether the distance is above the threshold. */
    public final boolean unknown;

    Recognised(String label, double distance, boolean unknown) {
      this.label = label;
      this.distance = distance;
      this.unknown = unknown;
    }
  }

  private final AudioSource.Factory sources;
  private final Object lock = new Object();
  private final List<float[]> recorded = new ArrayList<float[]>();
  private final List<Recognised> matches = new ArrayList<Recognised>();
  private final Recent recent = new Recent();
  private volatile Listener listener;
  private volatile State state = State.STOPPED;
  private volatile String failure = "";
  private volatile History history = new History(1, LogMel.SAMPLE_RATE);
  private volatile Listening listening;
  private volatile Recognised recognised;
  private Encoder encoder;
  private Projection projection;
  private Neighbours taught = new Neighbours();
  private boolean recording;
  private long recordedFrom;

  public Controller(AudioSource.Factory sources) {
    this.sources = sources;
  }

  public void setListener(Listener listener) {
    this.listener = listener;
  }

  /**
   * Sets another model. Stops listening and discards a recording without a name.
   *
   * @param encoder is closed by this object when it is replaced
   * @param projection projection of its embeddings to two dimensions
   * @param taught the sounds taught with this model
   */
  public void setModel(Encoder encoder, Projection projection, Neighbours taught) {
    stop();
    Encoder old;
    synchronized (lock) {
      old = this.encoder;
      this.encoder = encoder;
      this.projection = projection;
      this.taught = taught;
      recorded.clear();
      recording = false;
      history = new History(encoder.embeddingDim(), encoder.hopSamples());
    }
    if (old != null && old != encoder) {
      old.close();
    }
    changed();
  }

  public State state() {
    return state;
  }

  /** Why the source was interrupted, for troubleshooting; may be empty. */
  public String failure() {
    return failure;
  }

  public History history() {
    return history;
  }

  /** The last sound since the start, at most {@link Recent#SECONDS}; it stays after a stop. */
  public short[] recentSound() {
    return recent.copy();
  }

  /** The sound recognised now; null if nothing was taught or the microphone is off. */
  public Recognised recognised() {
    return recognised;
  }

  /** Number of times since the start that samples were lost because embedding was too slow. */
  public long overruns() {
    Listening now = listening;
    return now == null ? 0 : now.ring.overruns();
  }

  /** Samples embedded since the start. */
  public long samples() {
    Listening now = listening;
    return now == null ? 0 : now.samples;
  }

  /** Real-time factor: the model's time divided by the audio's; 0 before any audio. */
  public double realTimeFactor() {
    Listening now = listening;
    if (now == null || now.samples == 0) {
      return 0;
    }
    return now.embedNanos / 1e9 / (now.samples / (double) LogMel.SAMPLE_RATE);
  }

  /** Opens the source and listens, also after an interruption. Needs a model. */
  public void start() {
    stop();
    synchronized (lock) {
      if (encoder == null) {
        return;
      }
      encoder.reset();
      matches.clear();
      recent.clear();
      history = new History(encoder.embeddingDim(), encoder.hopSamples());
      failure = "";
      state = State.LISTENING;
      listening = new Listening(encoder, projection);
    }
    listening.start();
    changed();
  }

  /** Releases the source. A recording without a name is kept. */
  public void stop() {
    Listening now = listening;
    listening = null;
    if (now != null) {
      now.stop();
    }
    recognised = null;
    synchronized (lock) {
      recording = false;
    }
    if (state != State.STOPPED) {
      state = State.STOPPED;
      changed();
    }
  }

  /** Starts recording a sound to teach; false if the controller is not listening. */
  public boolean beginRecording() {
    Listening now = listening;
    if (now == null || state != State.LISTENING) {
      return false;
    }
    synchronized (lock) {
      recorded.clear();
      recording = true;
      recordedFrom = now.samples;
    }
    changed();
    return true;
  }

  /**
   * Stops recording.
   *
   * @return the number of embeddings whose window lies within the recording; 0 if it was shorter
   *     than {@link #SPAN}
   */
  public int endRecording() {
    int number;
    synchronized (lock) {
      recording = false;
      number = recorded.size();
    }
    changed();
    return number;
  }

  public boolean isRecording() {
    synchronized (lock) {
      return recording;
    }
  }

  /** Seconds recorded so far; 0 if not recording. */
  public double recordedSeconds() {
    long now = samples();
    synchronized (lock) {
      return recording ? (now - recordedFrom) / (double) LogMel.SAMPLE_RATE : 0;
    }
  }

  /** Number of recorded embeddings without a name. */
  public int pending() {
    synchronized (lock) {
      return recording ? 0 : recorded.size();
    }
  }

  /**
   * Names the recording.
   *
   * @throws IllegalArgumentException if the label is blank
   */
  public void teach(String label) {
    String name = label.trim();
    if (name.isEmpty()) {
      throw new IllegalArgumentException("a sound needs a name");
    }
    synchronized (lock) {
      for (float[] embedding : recorded) {
        taught.add(name, embedding);
      }
      recorded.clear();
      taught.calibrate();
    }
    changed();
  }

  /** Discards the recording. */
  public void discard() {
    synchronized (lock) {
      recorded.clear();
    }
    changed();
  }

  /** Removes a taught sound. */
  public void forget(String label) {
    synchronized (lock) {
      taught.remove(label);
      taught.calibrate();
    }
    changed();
  }

  public boolean hasTaught() {
    synchronized (lock) {
      return !taught.labels().isEmpty();
    }
  }

  /** The taught labels and the number of embeddings of each. */
  public Map<String, Integer> taught() {
    Map<String, Integer> counts = new LinkedHashMap<String, Integer>();
    synchronized (lock) {
      for (String label : taught.labels()) {
        counts.put(label, taught.count(label));
      }
    }
    return counts;
  }

  /** Positions of the taught sounds on the map: x, y of the mean of their embeddings. */
  public Map<String, float[]> taughtPoints() {
    Map<String, float[]> points = new LinkedHashMap<String, float[]>();
    synchronized (lock) {
      for (String label : taught.labels()) {
        float[] point = new float[2];
        projection.project(taught.prototype(label), point);
        points.put(label, point);
      }
    }
    return points;
  }

  /** The taught sounds as JSON for {@link Neighbours#fromJson}. */
  public String taughtJson() {
    synchronized (lock) {
      return taught.toJson();
    }
  }

  private void changed() {
    Listener told = listener;
    if (told != null) {
      told.onChanged();
    }
  }

  /** The most frequent label of the last matches, with its mean distance. */
  private static Recognised vote(List<Recognised> matches) {
    Map<String, Integer> votes = new HashMap<String, Integer>();
    Recognised best = null;
    int most = 0;
    for (Recognised match : matches) {
      String key = match.unknown ? "u" : "k" + match.label;
      Integer before = votes.get(key);
      int now = before == null ? 1 : before + 1;
      votes.put(key, now);
      if (now >= most) {
        most = now;
        best = match;
      }
    }
    if (best == null) {
      return null;
    }
    double sum = 0;
    int number = 0;
    for (Recognised match : matches) {
      if (match.unknown == best.unknown && match.label.equals(best.label)) {
        sum += match.distance;
        number++;
      }
    }
    return new Recognised(best.label, sum / number, best.unknown);
  }

  /** A session from start to stop, with its two threads. */
  private final class Listening implements EmbeddingStream.Listener {
    final RingBuffer ring = new RingBuffer(RING);
    final Projection projection;
    final Novelty novelty;
    final History into = history;
    final float[] point = new float[2];
    final int votes;
    final EmbeddingStream stream;
    final Thread capture;
    final Thread embed;
    volatile boolean running = true;
    volatile long samples;
    volatile long embedNanos;

    Listening(Encoder encoder, Projection projection) {
      this.projection = projection;
      int hop = encoder.hopSamples();
      votes = Math.max(1, (int) (VOTE_SECONDS * LogMel.SAMPLE_RATE / hop));
      novelty = new Novelty(Math.max(1, LogMel.SAMPLE_RATE / hop));
      stream = new EmbeddingStream(encoder, new LogMel(), this);
      capture =
          new Thread("a2v-capture") {
            @Override
            public void run() {
              capture();
            }
          };
      embed =
          new Thread("a2v-embed") {
            @Override
            public void run() {
              embed();
            }
          };
    }

    void start() {
      capture.start();
      embed.start();
    }

    /** Stops the session; afterwards, the encoder can be used for another one. */
    void stop() {
      running = false;
      join(capture, STOP_MILLIS); // a blocked microphone must not block the app
      join(embed, 0);
    }

    private void join(Thread thread, int millis) {
      try {
        thread.join(millis);
      } catch (InterruptedException error) {
        Thread.currentThread().interrupt();
      }
    }

    private void capture() {
      try (AudioSource source = sources.open()) {
        short[] block = new short[BLOCK];
        while (running) {
          int read = source.read(block, 0, block.length);
          if (read < 0) {
            interrupted("read gave " + read);
            return;
          }
          ring.write(block, 0, read);
        }
      } catch (IOException error) {
        interrupted(String.valueOf(error.getMessage()));
      }
    }

    private void interrupted(String why) {
      if (!running || listening != this) {
        return;
      }
      failure = why;
      state = State.INTERRUPTED;
      recognised = null;
      synchronized (lock) {
        recording = false;
      }
      changed();
    }

    private void embed() {
      short[] block = new short[BLOCK];
      while (running) {
        int read = ring.read(block, 0, block.length);
        if (read == 0) {
          LockSupport.parkNanos(WAIT_NANOS);
          continue;
        }
        recent.add(block, read);
        stream.feed(block, 0, read);
        embedNanos = stream.embedNanos();
        samples = stream.samples();
      }
    }

    @Override
    public void onFrames(float[] logMel, int frames) {
      into.addFrames(logMel, frames);
    }

    @Override
    public void onEmbedding(float[] embedding, long endSample) {
      projection.project(embedding, point);
      into.addEmbedding(embedding, point, novelty.next(embedding));
      Neighbours.Match match;
      synchronized (lock) {
        if (recording && endSample - recordedFrom >= SPAN) {
          recorded.add(embedding.clone());
        }
        match = taught.nearest(embedding);
      }
      if (match == null) {
        matches.clear();
        recognised = null;
        return;
      }
      matches.add(new Recognised(match.label, match.distance, match.unknown));
      while (matches.size() > votes) {
        matches.remove(0);
      }
      if (running && state == State.LISTENING) {
        recognised = vote(matches);
      }
    }
  }
}
