package org.a2vtf.core;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertNull;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.junit.After;
import org.junit.Test;

public class BenchmarkTest {
  private final Locale usual = Locale.getDefault();

  /** A clock set by an encoder: 1 ms per warm-up step, then 100, 99, ... 1 us. */
  private static final class Timed implements Encoder, Benchmark.Clock {
    private final int warmUp;
    private final FakeEncoder inner = new FakeEncoder(1_280);
    private long nanos;

    Timed(int warmUp) {
      this.warmUp = warmUp;
    }

    @Override
    public int hopSamples() {
      return inner.hopSamples();
    }

    @Override
    public int embeddingDim() {
      return inner.embeddingDim();
    }

    @Override
    public void embed(float[] pcm, float[] embedding) {
      inner.embed(pcm, embedding);
      assertTrue(embedding[1] != 0); // no silence
      nanos += inner.steps <= warmUp ? 1_000_000 : 1_000 * (101 - (inner.steps - warmUp));
    }

    @Override
    public void reset() {
      inner.reset();
    }

    @Override
    public void close() {}

    @Override
    public long nanos() {
      return nanos;
    }
  }

  @After
  public void restoreLocale() {
    Locale.setDefault(usual);
  }

  @Test
  public void percentilesAreThoseOfTheTimedSteps() {
    Benchmark.Result result = result();
    assertEquals(50.5, result.medianUs, 1e-9);
    assertEquals(90.1, result.p90Us, 1e-9); // numpy.percentile(range(1, 101), 90)
    assertEquals(99.01, result.p99Us, 1e-9);
    assertEquals(50.5, result.meanUs, 1e-9);
    assertEquals(50.5 / 80_000, result.realTimeFactor, 1e-12);
    assertEquals(100, result.steps);
    assertEquals(1_280, result.hopSamples);
    assertEquals("embedding of 3 numbers", result.what);
  }

  @Test
  public void oneStepGivesEqualPercentiles() {
    Timed timed = new Timed(0);
    Benchmark.Result result = Benchmark.run(timed, 0, 1, null, timed);
    assertEquals(100, result.medianUs, 1e-9);
    assertEquals(100, result.p99Us, 1e-9);
  }

  @Test
  public void reportsProgressAndResets() {
    List<Integer> steps = new ArrayList<>();
    Timed timed = new Timed(3);
    Benchmark.run(
        timed,
        3,
        4,
        (done, of) -> {
          assertEquals(7, of);
          return steps.add(done);
        },
        timed);
    assertEquals("[1, 2, 3, 4, 5, 6, 7]", steps.toString());
    assertEquals(2, timed.inner.resets);
    assertEquals(0, timed.inner.steps);
  }

  @Test
  public void canBeStopped() {
    Timed timed = new Timed(2);
    int[] last = new int[1];
    assertNull(
        Benchmark.run(
            timed,
            2,
            1_000,
            (done, of) -> {
              last[0] = done;
              return done < 5;
            },
            timed));
    assertEquals(5, last[0]);
    assertEquals(2, timed.inner.resets);
  }

  @Test
  public void textAndJsonDoNotDependOnTheLocale() {
    Locale.setDefault(Locale.GERMANY);
    Benchmark.Result result = result().named("a \"model\", 2 threads");
    assertEquals(
        String.format(
            "a \"model\", 2 threads%n100 steps of 80 ms: median 51 us, "
                + "p90 90 us, p99 99 us, mean 51 us%n"
                + "real-time factor 0.0006 (0.06 %% of one core)%n"),
        result.toText());
    Map<?, ?> json = (Map<?, ?>) Json.parse(result.toJson());
    assertEquals("a \"model\", 2 threads", json.get("what"));
    assertEquals(100.0, json.get("steps"));
    assertEquals(1280.0, json.get("hopSamples"));
    assertEquals(50.5, json.get("medianUs"));
    assertEquals(90.1, json.get("p90Us"));
    assertEquals(99.01, json.get("p99Us"));
    assertEquals(50.5, json.get("meanUs"));
    assertEquals(0.000631, json.get("realTimeFactor"));
  }

  @Test
  public void theSystemsClockRuns() {
    Benchmark.Result result = Benchmark.run(new FakeEncoder(160), 1, 50, null);
    assertTrue(result.medianUs > 0);
    assertTrue(result.medianUs <= result.p90Us);
    assertTrue(result.p90Us <= result.p99Us);
  }

  @Test
  public void refusesNoSteps() {
    FakeEncoder encoder = new FakeEncoder(160);
    assertThrows(IllegalArgumentException.class, () -> Benchmark.run(encoder, 0, 0, null));
    assertThrows(IllegalArgumentException.class, () -> Benchmark.run(encoder, -1, 1, null));
  }

  private static Benchmark.Result result() {
    Timed timed = new Timed(7);
    return Benchmark.run(timed, 7, 100, null, timed);
  }
}
