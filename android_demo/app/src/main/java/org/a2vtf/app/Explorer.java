package org.a2vtf.app;

import java.io.Closeable;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import org.a2vtf.core.LogMel;
import org.a2vtf.runtime.Classifier;
import org.a2vtf.runtime.GapEstimator;
import org.a2vtf.runtime.Models;
import org.a2vtf.runtime.Reconstructor;

/**
 * Asks the parts of a model about marked moments of a recording, without UI: what they are, how far
 * apart, and what the model expects there. All models run on one background thread. Methods may be
 * called on any thread.
 */
final class Explorer {
  /** Samples of a marked moment: 975 ms. */
  static final int SPAN = Controller.SPAN;

  private static final int IDLE_SECONDS = 5; // after which the thread ends
  private static final int APART = 2 * LogMel.SAMPLE_RATE;

  /** A label of the classifier. */
  static final class Label {
    final String name;
    final float score;

    Label(String name, float score) {
      this.name = name;
      this.score = score;
    }
  }

  /** What is known about the marked moments; null for what no part has computed. */
  static final class Findings {
    /** Log-mel of the recording, {@code [frames * BINS]}. */
    final float[] logMel;

    /** Labels of the first moment, the most likely first. */
    final List<Label> labels;

    /** Estimated seconds between the moments. */
    final Float seconds;

    /** What is expected at the first moment. */
    final Expectation expected;

    /** The recording with what is expected, as sound; null until it is computed. */
    final short[] sound;

    /** The first and last start of moments with an expectation; null without a part for it. */
    final int[] range;

    /** Why something could not be computed. */
    final String failure;

    private Findings(
        float[] logMel,
        List<Label> labels,
        Float seconds,
        Expectation expected,
        short[] sound,
        int[] range,
        String failure) {
      this.logMel = logMel;
      this.labels = labels;
      this.seconds = seconds;
      this.expected = expected;
      this.sound = sound;
      this.range = range;
      this.failure = failure;
    }

    private Findings with(short[] sound, String failure) {
      return new Findings(logMel, labels, seconds, expected, sound, range, failure);
    }
  }

  private static final Findings NOTHING =
      new Findings(null, null, null, null, null, null, null);

  private final ThreadPoolExecutor worker =
      new ThreadPoolExecutor(
          1, 1, IDLE_SECONDS, TimeUnit.SECONDS, new LinkedBlockingQueue<Runnable>());
  private final PartLibrary library;
  private volatile Controller.Listener listener;
  private final Object lock = new Object();

  // Guarded by the lock.
  private final Map<String, String> names = new HashMap<String, String>();
  private short[] recording; // null: not held
  private int first;
  private int second;
  private long asked; // number of the last question
  private long answered;
  private Findings findings = NOTHING;

  // Only on the worker.
  private Classifier classifier;
  private GapEstimator gap;
  private Reconstructor reconstructor;
  private boolean opened;

  Explorer(PartLibrary library) {
    this.library = library;
    worker.allowCoreThreadTimeOut(true);
  }

  void setListener(Controller.Listener listener) {
    this.listener = listener;
  }

  // State -----------------------------------------------------------------------------------------

  /** The held recording, not to be changed; null if none is held. */
  short[] recording() {
    synchronized (lock) {
      return recording;
    }
  }

  /** Sample where the first moment starts. */
  int first() {
    synchronized (lock) {
      return first;
    }
  }

  /** Sample where the second moment starts. */
  int second() {
    synchronized (lock) {
      return second;
    }
  }

  Findings findings() {
    synchronized (lock) {
      return findings;
    }
  }

  /** Whether something is being computed. */
  boolean isBusy() {
    synchronized (lock) {
      return answered < asked;
    }
  }

  /** The name of a part's file; null if there is none, or it is not opened yet. */
  String name(String part) {
    synchronized (lock) {
      return names.get(part);
    }
  }

  // Actions ---------------------------------------------------------------------------------------

  /** Opens the files in the background, unless they are open. */
  void prepare() {
    synchronized (lock) {
      if (asked > 0) {
        return;
      }
    }
    ask();
  }

  /** Holds a recording and marks two moments; false if it is shorter than {@link #SPAN}. */
  boolean hold(short[] held) {
    if (held.length < SPAN) {
      return false;
    }
    synchronized (lock) {
      recording = held;
      first = inside(held.length / 2 - SPAN / 2);
      second = inside(first + APART);
      findings = NOTHING;
    }
    ask();
    return true;
  }

  /** Forgets the recording. */
  void release() {
    synchronized (lock) {
      recording = null;
      findings = NOTHING;
    }
    ask();
  }

  /** Marks the moments; what is outside of the recording is moved to its ends. */
  void mark(int firstStart, int secondStart) {
    synchronized (lock) {
      if (recording == null) {
        return;
      }
      first = inside(firstStart);
      second = inside(secondStart);
    }
    ask();
  }

  /**
   * Opens a part's file, stores it, and uses it from now on; slow, not for the main thread.
   *
   * @throws IOException if it cannot be used; the previous one remains in use
   */
  void use(final String part, final PartLibrary.PartFile file) throws IOException {
    Future<Void> opening =
        worker.submit(
            new Callable<Void>() {
              @Override
              public Void call() throws Exception {
                openAll();
                open(part, file);
                library.store(part, file);
                return null;
              }
            });
    try {
      opening.get();
    } catch (ExecutionException error) {
      throw new IOException(error.getCause().getMessage(), error);
    } catch (InterruptedException error) {
      throw new IOException(error.toString(), error);
    }
    ask();
  }

  /** A whole number of frames within the recording. */
  private int inside(int start) {
    int most = recording.length - SPAN;
    return Math.max(0, Math.min(most, start)) / LogMel.HOP * LogMel.HOP;
  }

  private void ask() {
    final long question;
    synchronized (lock) {
      question = ++asked;
    }
    worker.execute(
        new Runnable() {
          @Override
          public void run() {
            answer(question);
          }
        });
    tell();
  }

  private void tell() {
    Controller.Listener told = listener;
    if (told != null) {
      told.onChanged();
    }
  }

  // On the worker ---------------------------------------------------------------------------------

  private void openAll() {
    if (opened) {
      return;
    }
    opened = true;
    for (String part : PartLibrary.PARTS) {
      if (!load(part)) {
        library.forget(part); // a new version of the app may not read it
        load(part);
      }
    }
  }

  /** Opens the stored file, or the app's own; false if it cannot be used. */
  private boolean load(String part) {
    PartLibrary.PartFile file = library.load(part);
    try {
      if (file != null) {
        open(part, file);
      }
      return true;
    } catch (Models.ModelException error) {
      return false;
    }
  }

  /** Opens a file; the one before is closed if this one works. */
  private void open(String part, PartLibrary.PartFile file) throws Models.ModelException {
    Models.Options options = new Models.Options();
    if (part.equals(PartLibrary.CLASSIFIER)) {
      Classifier next = Classifier.open(file.content, options);
      close(classifier);
      classifier = next;
    } else if (part.equals(PartLibrary.GAP)) {
      GapEstimator next = GapEstimator.open(file.content, options);
      close(gap);
      gap = next;
    } else {
      Reconstructor next = Reconstructor.open(file.content, options);
      close(reconstructor);
      reconstructor = next;
    }
    synchronized (lock) {
      names.put(part, file.name);
    }
  }

  private static void close(Closeable before) {
    try {
      if (before != null) {
        before.close();
      }
    } catch (IOException error) {
      throw new IllegalStateException(error); // they declare none
    }
  }

  /** Answers a question, unless a newer one waits. */
  private void answer(long question) {
    openAll();
    float[] wave;
    int from;
    int to;
    synchronized (lock) {
      if (question != asked) {
        return;
      }
      from = first;
      to = second;
      wave = recording == null ? null : wave(recording);
    }
    if (wave == null) {
      publish(question, NOTHING, true);
      return;
    }
    Findings found = NOTHING;
    try {
      found = find(wave, from, to);
      publish(question, found, found.expected == null);
      if (found.expected != null) {
        publish(question, found.with(found.expected.sound(), null), true);
      }
    } catch (RuntimeException error) { // a model that gives no numbers, for instance
      publish(question, found.with(null, String.valueOf(error.getMessage())), true);
    }
  }

  private void publish(long question, Findings found, boolean complete) {
    synchronized (lock) {
      if (question != asked) {
        return;
      }
      findings = found;
      answered = complete ? question : answered;
    }
    tell();
  }

  private Findings find(float[] wave, int from, int to) {
    List<Label> labels = null;
    Float seconds = null;
    Expectation expected = null;
    int[] range = null;
    if (classifier != null && from + SPAN >= classifier.samples()) {
      labels = labels(classifier.labels(), classifier.classifyAt(wave, from + SPAN));
    }
    if (gap != null && Math.min(from, to) + SPAN >= gapSamples()) {
      seconds = gap.secondsBetween(wave, from + SPAN, to + SPAN);
    }
    if (reconstructor != null) {
      range = Expectation.range(reconstructor, wave.length);
      if (from >= range[0] && from <= range[1]) {
        expected = new Expectation(reconstructor, wave, from);
      }
    }
    return new Findings(LogMel.of(wave), labels, seconds, expected, null, range, null);
  }

  /** Samples that the gap's file takes at once. */
  private int gapSamples() {
    return gap.encoder() == null ? gap.size() : gap.encoder().hopSamples();
  }

  private static List<Label> labels(List<String> names, float[] scores) {
    List<Label> labels = new ArrayList<Label>();
    for (int i = 0; i < scores.length; i++) {
      labels.add(new Label(names.get(i), scores[i]));
    }
    Collections.sort(
        labels,
        new Comparator<Label>() {
          @Override
          public int compare(Label one, Label other) {
            return Float.compare(other.score, one.score);
          }
        });
    return labels;
  }

  private static float[] wave(short[] pcm) {
    float[] wave = new float[pcm.length];
    for (int i = 0; i < pcm.length; i++) {
      wave[i] = pcm[i] / 32_768f;
    }
    return wave;
  }
}
