package org.a2vtf.app;

import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import org.a2vtf.core.Benchmark;
import org.a2vtf.core.Encoder;

/** Runs the benchmark with several numbers of threads, with and without XNNPACK. No UI. */
public final class BenchmarkRunner {
  public static final int STEPS = 1_000;
  static final int WARM_UP = 50;
  private static final int TELL_EVERY = 20;

  /** A setting of the benchmark. */
  public static final class Setting {
    public final int threads;
    public final boolean xnnpack;

    public Setting(int threads, boolean xnnpack) {
      this.threads = threads;
      this.xnnpack = xnnpack;
    }

    @Override
    public String toString() {
      return threads + (threads == 1 ? " thread, " : " threads, ")
          + (xnnpack ? "XNNPACK" : "no XNNPACK");
    }
  }

  /** Outcome of a setting: a result, or the reason for its failure. */
  public static final class Row {
    public final Setting setting;
    public final Benchmark.Result result;
    public final String failure;

    private Row(Setting setting, Benchmark.Result result, String failure) {
      this.setting = setting;
      this.result = result;
      this.failure = failure;
    }
  }

  private final Encoders encoders;
  private volatile Controller.Listener listener;
  private volatile boolean cancelled;
  private volatile Thread thread;
  private volatile int done;
  private volatile int of;
  private final List<Row> rows = new ArrayList<Row>();

  public BenchmarkRunner(Encoders encoders) {
    this.encoders = encoders;
  }

  /** Receives the progress, on another thread. */
  public void setListener(Controller.Listener listener) {
    this.listener = listener;
  }

  public boolean isRunning() {
    return thread != null;
  }

  /** Number of finished steps, out of {@link #of}. */
  public int done() {
    return done;
  }

  public int of() {
    return of;
  }

  public List<Row> rows() {
    synchronized (rows) {
      return new ArrayList<Row>(rows);
    }
  }

  /** Starts in the background, unless it is running already. */
  public synchronized void start(
      final byte[] model, final List<Setting> settings, final int steps) {
    if (thread != null || settings.isEmpty()) {
      return;
    }
    synchronized (rows) {
      rows.clear();
    }
    cancelled = false;
    done = 0;
    of = settings.size() * (WARM_UP + steps);
    thread =
        new Thread("a2v-benchmark") {
          @Override
          public void run() {
            for (int i = 0; i < settings.size() && !cancelled; i++) {
              add(time(model, settings.get(i), steps, i * (WARM_UP + steps)));
            }
            thread = null;
            changed();
          }
        };
    thread.start();
    changed();
  }

  /** Stops soon; finished results remain. */
  public void cancel() {
    cancelled = true;
  }

  private void add(Row row) {
    if (row == null) {
      return;
    }
    synchronized (rows) {
      rows.add(row);
    }
    changed();
  }

  /** Runs a setting; null if it was cancelled. */
  private Row time(byte[] model, Setting setting, final int steps, final int before) {
    try (Encoder encoder = encoders.open(model, setting.threads, setting.xnnpack)) {
      Benchmark.Result result =
          Benchmark.run(
              encoder,
              WARM_UP,
              steps,
              new Benchmark.Progress() {
                @Override
                public boolean step(int now, int all) {
                  done = before + now;
                  if (now % TELL_EVERY == 0) {
                    changed();
                  }
                  return !cancelled;
                }
              });
      return result == null ? null : new Row(setting, result.named(setting.toString()), null);
    } catch (IOException | RuntimeException error) {
      return new Row(setting, null, String.valueOf(error.getMessage()));
    }
  }

  private void changed() {
    Controller.Listener told = listener;
    if (told != null) {
      told.onChanged();
    }
  }
}
