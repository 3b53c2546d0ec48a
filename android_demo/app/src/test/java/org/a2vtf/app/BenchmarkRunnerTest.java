package org.a2vtf.app;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertTrue;

import java.util.Arrays;
import java.util.List;
import java.util.concurrent.Callable;
import org.junit.Test;

public final class BenchmarkRunnerTest {
  private static final List<BenchmarkRunner.Setting> SETTINGS =
      Arrays.asList(new BenchmarkRunner.Setting(1, true), new BenchmarkRunner.Setting(4, false));

  private final FakeEncoders encoders = new FakeEncoders();
  private final BenchmarkRunner benchmark = new BenchmarkRunner(encoders);

  private void finish() {
    Wait.until(
        "the end",
        new Callable<Boolean>() {
          @Override
          public Boolean call() {
            return !benchmark.isRunning();
          }
        });
  }

  @Test
  public void timesEverySetting() {
    benchmark.start(FakeEncoders.MODEL, SETTINGS, 30);
    finish();
    List<BenchmarkRunner.Row> rows = benchmark.rows();
    assertEquals(2, rows.size());
    assertEquals("1 thread, XNNPACK", rows.get(0).result.what);
    assertEquals("4 threads, no XNNPACK", rows.get(1).result.what);
    assertEquals(30, rows.get(1).result.steps);
    assertEquals(benchmark.of(), benchmark.done());
    assertEquals(0, encoders.open.get());
  }

  @Test
  public void failureIsARow() {
    benchmark.start(FakeEncoders.WRONG, SETTINGS, 30);
    finish();
    assertEquals("this is no model", benchmark.rows().get(1).failure);
  }

  @Test
  public void cancelKeepsWhatIsComplete() {
    encoders.millis = 1;
    benchmark.start(FakeEncoders.MODEL, SETTINGS, 20);
    Wait.until(
        "the first row",
        new Callable<Boolean>() {
          @Override
          public Boolean call() {
            return benchmark.rows().size() == 1;
          }
        });
    benchmark.cancel();
    finish();
    assertEquals(1, benchmark.rows().size());
    assertEquals(0, encoders.open.get());
  }

  @Test
  public void oneAtATime() {
    encoders.millis = 1;
    benchmark.start(FakeEncoders.MODEL, SETTINGS, 20);
    assertTrue(benchmark.isRunning());
    benchmark.start(FakeEncoders.WRONG, SETTINGS, 20);
    benchmark.cancel();
    finish();
    for (BenchmarkRunner.Row row : benchmark.rows()) {
      assertFalse(row.result == null);
    }
  }
}
