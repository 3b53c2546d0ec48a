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
 * Listens and teaches; knows no view.
 *
 * <p>One thread reads the source into a ring buffer and does nothing else; a second one embeds.
 * Methods may be called from any thread, {@link #start} and {@link #stop} from one only.
 */
public final class Controller {
  /** Samples that one embedding describes: 975 ms. */
  public static final int SPAN = 15_600;

  private static final int BLOCK = LogMel.SAMPLE_RATE / 50;
  private static final int RING = LogMel.SAMPLE_RATE * 2;
  private static final long WAIT_NANOS = 5_000_000;
  private static final int STOP_MILLIS = 500;
  private static final double VOTE_SECONDS = 0.6;

  /** What the controller is doing. */
  public enum State {
    STOPPED,
    LISTENING,
    /** The source could not be opened, or broke off: see {@link #failure}. */
    INTERRUPTED
  }

  /** Told of every change of state and of the taught sounds, on any thread. */
  public interface Listener {
    void onChanged();
  }

  /** What a stretch of sound was recognised as. */
  public static final class Heard {
    /** The nearest taught label, whether or not it is near enough. */
    public final String label;

    /** Euclidean distance in the embedding space. */
    public final double distance;

    /** Whether the distance is above the threshold. */
    public final boolean unknown;

    Heard(String label, double distance, boolean unknown) {
      this.label = label;
      this.distance = distance;
      this.unknown = unknown;
    }
  }

  private final AudioSource.Factory sources;
  private final Object lock = new Object();
  private final List<float[]> recorded = new ArrayList<float[]>();
  private final List<Heard> matches = new ArrayList<Heard>();
  private volatile Listener listener;
  private volatile State state = State.STOPPED;
  private volatile String failure = "";
  private volatile History history = new History(1, LogMel.SAMPLE_RATE);
  private volatile Listening listening;
  private volatile Heard heard;
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
   * Takes another model. Stops listening; drops what was recorded and not named.
   *
   * @param encoder closed by this object when the next one comes
   * @param projection to two dimensions, of the encoder's embeddings
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

  /** Why the source was interrupted, for people who look for the cause; perhaps empty. */
  public String failure() {
    return failure;
  }

  public History history() {
    return history;
  }

  /** What is heard now; null where nothing was taught or the microphone is off. */
  public Heard heard() {
    return heard;
  }

  /** Times that samples were lost because embedding fell behind, since the start. */
  public long overruns() {
    Listening now = listening;
    return now == null ? 0 : now.ring.overruns();
  }

  /** Samples embedded since the start. */
  public long samples() {
    Listening now = listening;
    return now == null ? 0 : now.samples;
  }

  /** Time spent in the model, as a part of the time of the audio; 0 before any audio. */
  public double realTimeFactor() {
    Listening now = listening;
    if (now == null || now.samples == 0) {
      return 0;
    }
    return now.embedNanos / 1e9 / (now.samples / (double) LogMel.SAMPLE_RATE);
  }

  /** Opens the source and listens; also after an interruption. Needs a model. */
  public void start() {
    stop();
    synchronized (lock) {
      if (encoder == null) {
        return;
      }
      encoder.reset();
      matches.clear();
      history = new History(encoder.embeddingDim(), encoder.hopSamples());
      failure = "";
      state = State.LISTENING;
      listening = new Listening(encoder, projection);
    }
    listening.start();
    changed();
  }

  /** Releases the source. What was recorded and not named stays. */
  public void stop() {
    Listening now = listening;
    listening = null;
    if (now != null) {
      now.stop();
    }
    heard = null;
    synchronized (lock) {
      recording = false;
    }
    if (state != State.STOPPED) {
      state = State.STOPPED;
      changed();
    }
  }

  /** Begins to record a sound to teach; false where nothing is listened to. */
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
   * Ends the recording.
   *
   * @return the number of embeddings that heard nothing but the recording; 0 where it was shorter
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

  /** Seconds recorded so far; 0 where nothing is being recorded. */
  public double recordedSeconds() {
    long now = samples();
    synchronized (lock) {
      return recording ? (now - recordedFrom) / (double) LogMel.SAMPLE_RATE : 0;
    }
  }

  /** Embeddings that wait for a name. */
  public int pending() {
    synchronized (lock) {
      return recording ? 0 : recorded.size();
    }
  }

  /**
   * Names what was recorded.
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

  /** Forgets what was recorded. */
  public void discard() {
    synchronized (lock) {
      recorded.clear();
    }
    changed();
  }

  /** Forgets a taught sound. */
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

  /** The taught labels and how many embeddings each has. */
  public Map<String, Integer> taught() {
    Map<String, Integer> counts = new LinkedHashMap<String, Integer>();
    synchronized (lock) {
      for (String label : taught.labels()) {
        counts.put(label, taught.count(label));
      }
    }
    return counts;
  }

  /** Where the taught sounds lie on the map: x, y of the mean of their embeddings. */
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

  /** The taught sounds as {@link Neighbours#fromJson} reads them. */
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

  /** The label that most of the last matches gave, with its mean distance. */
  private static Heard vote(List<Heard> matches) {
    Map<String, Integer> votes = new HashMap<String, Integer>();
    Heard best = null;
    int most = 0;
    for (Heard match : matches) {
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
    for (Heard match : matches) {
      if (match.unknown == best.unknown && match.label.equals(best.label)) {
        sum += match.distance;
        number++;
      }
    }
    return new Heard(best.label, sum / number, best.unknown);
  }

  /** One stretch from start to stop, with its two threads. */
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

    /** The encoder is free for another stretch once this returns. */
    void stop() {
      running = false;
      join(capture, STOP_MILLIS); // a microphone that hangs must not hang the app
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
      heard = null;
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
        heard = null;
        return;
      }
      matches.add(new Heard(match.label, match.distance, match.unknown));
      while (matches.size() > votes) {
        matches.remove(0);
      }
      if (running && state == State.LISTENING) {
        heard = vote(matches);
      }
    }
  }
}
