package org.a2vtf.app;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertNotNull;
import static org.junit.Assert.assertNull;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import java.io.IOException;
import java.util.Collections;
import java.util.concurrent.Callable;
import org.a2vtf.core.Neighbours;
import org.a2vtf.core.Projection;
import org.junit.After;
import org.junit.Before;
import org.junit.Test;

public final class ControllerTest {
  private final FakeMicrophone microphone = new FakeMicrophone();
  private final FakeEncoders encoders = new FakeEncoders();
  private final Controller controller = new Controller(microphone);

  @Before
  public void openModel() throws IOException {
    microphone.follow(controller);
    controller.setModel(encoders.open(FakeEncoders.MODEL, 1, true), identity(), new Neighbours());
  }

  @After
  public void stop() {
    controller.stop();
  }

  private static Projection identity() {
    return new Projection(new float[] {1, 0, 0, 1}, new float[2]);
  }

  private void waitForSamples(final long samples) {
    Wait.until(
        samples + " samples",
        new Callable<Boolean>() {
          @Override
          public Boolean call() {
            return controller.samples() >= samples;
          }
        });
  }

  private void reach(final Controller.State state) {
    Wait.until(
        state.toString(),
        new Callable<Boolean>() {
          @Override
          public Boolean call() {
            return controller.state() == state;
          }
        });
  }

  private void teach(String label, short[] sound) {
    microphone.sound = sound;
    controller.start();
    assertTrue(controller.beginRecording());
    waitForSamples(sound.length);
    assertTrue(controller.endRecording() > 0);
    controller.stop();
    controller.teach(label);
  }

  private Controller.Recognised recognise(short[] sound) {
    microphone.sound = sound;
    controller.start();
    waitForSamples(sound.length);
    Controller.Recognised recognised = controller.recognised();
    controller.stop();
    return recognised;
  }

  @Test
  public void nothingIsRecognisedBeforeAnythingIsTaught() {
    assertNull(recognise(Sounds.whistle(2)));
  }

  @Test
  public void taughtSoundsAreRecognised() {
    teach("whistle", Sounds.whistle(3));
    teach("quiet", Sounds.silence(3));
    Controller.Recognised whistle = recognise(Sounds.whistle(4));
    assertEquals("whistle", whistle.label);
    assertFalse(whistle.unknown);
    assertEquals("quiet", recognise(Sounds.silence(4)).label);
  }

  @Test
  public void anotherSoundIsUnknown() {
    teach("quiet", Sounds.silence(3));
    assertTrue(recognise(Sounds.whistle(4)).unknown);
  }

  @Test
  public void historyKeepsWhatTheViewsShow() {
    recognise(Sounds.whistle(30));
    History history = controller.history();
    assertTrue(history.frames() > History.FRAMES);
    assertTrue(history.frame(history.frames() - 1, new float[64]));
    assertTrue(history.frame(history.frames() - History.FRAMES, new float[64]));
    assertFalse(history.frame(history.frames() - History.FRAMES - 1, new float[64]));
    assertFalse(history.frame(history.frames(), new float[64]));
    assertEquals(history.capacity(), history.points(new float[2 * history.capacity()]));
    float[] last = new float[2];
    float[] embedding = new float[2];
    assertEquals(1, history.points(last));
    assertTrue(history.embedding(history.count() - 1, embedding));
    assertEquals(embedding[0], last[0], 1e-6);
  }

  @Test
  public void recordingThatIsTooShortGivesNothing() {
    controller.start();
    assertTrue(controller.beginRecording());
    microphone.breaks = true;
    assertEquals(0, controller.endRecording());
    assertEquals(0, controller.pending());
  }

  @Test
  public void recordedEmbeddingsCoverOnlyTheRecording() {
    microphone.sound = Sounds.join(Sounds.silence(2), Sounds.whistle(3));
    controller.start();
    waitForSamples(1_280);
    controller.beginRecording();
    double before = controller.samples() / 16_000.0;
    waitForSamples(5 * 16_000);
    int recorded = controller.endRecording();
    // One each 80 ms, of the time from 975 ms after the beginning; it goes on while we look.
    double least = (5 - before - 0.975) / 0.08 - 3;
    assertTrue(recorded + " of " + least, recorded >= least);
    assertEquals(recorded, controller.pending());
  }

  @Test
  public void whatIsRecordedOutlivesAPause() {
    microphone.sound = Sounds.whistle(3);
    controller.start();
    controller.beginRecording();
    waitForSamples(3 * 16_000);
    controller.stop();
    assertTrue(controller.pending() > 0);
    controller.start();
    controller.teach("whistle");
    assertEquals(0, controller.pending());
    assertTrue(controller.taught().get("whistle") > 0);
  }

  @Test
  public void blankNamesAreRefused() {
    microphone.sound = Sounds.whistle(3);
    controller.start();
    controller.beginRecording();
    waitForSamples(3 * 16_000);
    controller.endRecording();
    assertThrows(
        IllegalArgumentException.class,
        new org.junit.function.ThrowingRunnable() {
          @Override
          public void run() {
            controller.teach("  ");
          }
        });
    assertTrue(controller.pending() > 0);
  }

  @Test
  public void forgottenSoundsAreGone() {
    teach("whistle", Sounds.whistle(3));
    controller.forget("whistle");
    assertEquals(Collections.<String, Integer>emptyMap(), controller.taught());
    assertNull(recognise(Sounds.whistle(2)));
  }

  @Test
  public void taughtSoundsLieOnTheMap() {
    teach("whistle", Sounds.whistle(3));
    float[] point = controller.taughtPoints().get("whistle");
    assertEquals(0.3 / Math.sqrt(2), point[0], 0.001); // loudness of a sine
  }

  @Test
  public void stopReleasesTheMicrophone() {
    controller.start();
    waitForSamples(16_000);
    assertTrue(microphone.isOpen());
    controller.stop();
    assertFalse(microphone.isOpen());
    assertEquals(Controller.State.STOPPED, controller.state());
  }

  @Test
  public void brokenMicrophoneInterruptsAndCanBeTriedAgain() {
    controller.start();
    waitForSamples(16_000);
    microphone.breaks = true;
    reach(Controller.State.INTERRUPTED);
    assertEquals("read gave -6", controller.failure());
    assertFalse(controller.beginRecording());
    microphone.breaks = false;
    controller.start();
    waitForSamples(16_000);
    assertEquals(Controller.State.LISTENING, controller.state());
    controller.stop();
    assertFalse(microphone.isOpen());
  }

  @Test
  public void refusedMicrophoneInterrupts() {
    microphone.refuses = true;
    controller.start();
    reach(Controller.State.INTERRUPTED);
    assertEquals("another app holds the microphone", controller.failure());
  }

  @Test
  public void slowModelOverrunsAndSaysSo() {
    encoders.millis = 50;
    microphone.hurries = true;
    controller.start();
    Wait.until(
        "an overrun",
        new Callable<Boolean>() {
          @Override
          public Boolean call() {
            return controller.overruns() > 0;
          }
        });
  }

  @Test
  public void anotherModelClosesTheOneBefore() throws IOException {
    controller.start();
    assertEquals(1, encoders.open.get());
    controller.setModel(encoders.open(FakeEncoders.OTHER, 1, true), identity(), new Neighbours());
    assertEquals(1, encoders.open.get());
    assertEquals(Controller.State.STOPPED, controller.state());
    assertNotNull(controller.history());
  }

  @Test
  public void timeOfTheModelIsCounted() {
    encoders.millis = 4;
    microphone.sound = Sounds.whistle(1);
    controller.start();
    waitForSamples(16_000);
    // 12 steps in that second, of 4 ms or more.
    assertTrue(controller.realTimeFactor() >= 0.047);
  }
}
