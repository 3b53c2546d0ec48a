package org.a2vtf.app;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertNotEquals;
import static org.junit.Assert.assertNotNull;
import static org.junit.Assert.assertNull;
import static org.junit.Assert.assertSame;
import static org.junit.Assert.assertTrue;
import static org.robolectric.Shadows.shadowOf;

import android.Manifest;
import android.app.Activity;
import android.content.Intent;
import android.content.pm.PackageManager;
import android.net.Uri;
import android.os.Looper;
import android.provider.Settings;
import android.view.MotionEvent;
import android.view.View;
import android.view.ViewGroup;
import android.widget.Button;
import android.widget.CompoundButton;
import android.widget.EditText;
import android.widget.SeekBar;
import android.widget.TextView;
import java.io.ByteArrayOutputStream;
import java.io.File;
import java.io.FileInputStream;
import java.io.IOException;
import java.util.concurrent.Callable;
import java.util.concurrent.TimeUnit;
import org.a2vtf.core.Neighbours;
import org.json.JSONObject;
import org.junit.After;
import org.junit.Before;
import org.junit.Test;
import org.junit.runner.RunWith;
import org.robolectric.Robolectric;
import org.robolectric.RobolectricTestRunner;
import org.robolectric.RuntimeEnvironment;
import org.robolectric.android.controller.ActivityController;
import org.robolectric.annotation.Config;
import org.robolectric.shadows.ShadowActivity;

/** The whole app, with the TFLite runtime, a real model and a fake microphone. */
@RunWith(RobolectricTestRunner.class)
@Config(application = TestApp.class)
public final class MainActivityTest {
  private TestApp app;
  private ActivityController<MainActivity> lifecycle;

  @Before
  public void find() {
    app = (TestApp) RuntimeEnvironment.getApplication();
  }

  @After
  public void end() {
    if (lifecycle != null) {
      app.controller().stop();
    }
  }

  // --- User actions -------------------------------------------------------------------------

  private void grant() {
    shadowOf(app).grantPermissions(Manifest.permission.RECORD_AUDIO);
  }

  private void open() {
    lifecycle = Robolectric.buildActivity(MainActivity.class).setup();
    idle();
  }

  private MainActivity activity() {
    return lifecycle.get();
  }

  private void idle() {
    shadowOf(Looper.getMainLooper()).idle();
  }

  private <T extends View> T view(int id) {
    T found = activity().findViewById(id);
    assertNotNull(found);
    return found;
  }

  /** The recognised label on the visible page. */
  private String label() {
    shadowOf(Looper.getMainLooper()).idleFor(100, TimeUnit.MILLISECONDS);
    for (int page : new int[] {R.id.page_listen, R.id.page_teach}) {
      TextView label = view(page).findViewById(R.id.recognised);
      if (label.isShown()) {
        return label.getText().toString();
      }
    }
    throw new AssertionError("no page that listens is seen");
  }

  private String text(int id) {
    return ((TextView) view(id)).getText().toString();
  }

  private boolean isSeen(int id) {
    return view(id).isShown();
  }

  private void click(int id) {
    assertTrue(isSeen(id));
    view(id).performClick();
    idle();
  }

  private void answer(boolean granted, boolean forGood) {
    if (granted) {
      grant();
    } else {
      shadowOf(app).denyPermissions(Manifest.permission.RECORD_AUDIO);
    }
    shadowOf(app.getPackageManager())
        .setShouldShowRequestPermissionRationale(
            Manifest.permission.RECORD_AUDIO, !granted && !forGood);
    ShadowActivity.PermissionsRequest asked =
        shadowOf((Activity) activity()).getLastRequestedPermission();
    activity()
        .onRequestPermissionsResult(
            asked.requestCode,
            asked.requestedPermissions,
            new int[] {
              granted ? PackageManager.PERMISSION_GRANTED : PackageManager.PERMISSION_DENIED
            });
    idle();
  }

  private boolean wasAsked() {
    return shadowOf((Activity) activity()).getLastRequestedPermission() != null;
  }

  private void feed(final short[] sound) {
    app.controller().stop();
    app.microphone.sound = sound;
    app.controller().start();
    waitForSamples(sound.length);
  }

  private void waitForSamples(final long samples) {
    waitFor(
        samples + " samples",
        new Callable<Boolean>() {
          @Override
          public Boolean call() {
            return app.controller().samples() >= samples;
          }
        });
  }

  private void waitFor(String what, final Callable<Boolean> condition) {
    Wait.until(
        what,
        new Callable<Boolean>() {
          @Override
          public Boolean call() throws Exception {
            idle();
            return condition.call();
          }
        });
    idle();
  }

  private void touch(int id, int action) {
    MotionEvent event = MotionEvent.obtain(0, 0, action, 1, 1, 0);
    view(id).dispatchTouchEvent(event);
    event.recycle();
  }

  /** Holds the button from the start of the sound to its end. */
  private void record(short[] sound) {
    app.controller().stop();
    app.microphone.sound = sound;
    app.microphone.waits = true;
    app.controller().start();
    idle();
    touch(R.id.record, MotionEvent.ACTION_DOWN);
    assertTrue(app.controller().isRecording());
    app.microphone.waits = false;
    waitForSamples(sound.length);
    touch(R.id.record, MotionEvent.ACTION_UP);
    idle();
  }

  private void teach(String name, short[] sound) {
    record(sound);
    assertTrue(isSeen(R.id.naming));
    ((EditText) view(R.id.name)).setText(name);
    click(R.id.save);
    assertFalse(isSeen(R.id.naming));
  }

  private void openFile(File file) throws IOException {
    openFile(file, R.id.model_open);
  }

  private void openFile(File file, int button) throws IOException {
    Uri uri = Uri.parse("content://files/" + file.getName());
    shadowOf(app.getContentResolver()).registerInputStream(uri, new FileInputStream(file));
    click(button);
    Intent asked = shadowOf((Activity) activity()).getNextStartedActivityForResult().intent;
    assertEquals(Intent.ACTION_OPEN_DOCUMENT, asked.getAction());
    final String before = app.modelMessage();
    shadowOf((Activity) activity())
        .receiveResult(asked, Activity.RESULT_OK, new Intent().setData(uri));
    final String opening = app.getString(R.string.model_opening, file.getName());
    assertNotEquals(before, opening);
    waitFor(
        "the file",
        new Callable<Boolean>() {
          @Override
          public Boolean call() {
            return !opening.equals(app.modelMessage());
          }
        });
  }

  // --- Permission ---------------------------------------------------------------------------

  @Test
  public void listensAtOnceWherePermitted() {
    grant();
    open();
    assertFalse(wasAsked());
    waitForSamples(16_000);
    assertFalse(isSeen(R.id.notice));
    assertTrue(isSeen(R.id.spectrogram));
  }

  @Test
  public void asksAndListensOnceGranted() {
    open();
    assertTrue(wasAsked());
    assertEquals(0, app.microphone.opened);
    answer(true, false);
    waitForSamples(16_000);
    assertFalse(isSeen(R.id.notice));
  }

  @Test
  public void deniedSaysWhyAndAsksAgain() {
    open();
    answer(false, false);
    assertEquals(activity().getString(R.string.notice_permission), text(R.id.notice_text));
    assertEquals(0, app.microphone.opened);
    click(R.id.notice_button);
    answer(true, false);
    waitForSamples(16_000);
    assertFalse(isSeen(R.id.notice));
  }

  @Test
  public void deniedForGoodLeadsToTheSettings() {
    open();
    answer(false, true);
    assertEquals(activity().getString(R.string.notice_for_good), text(R.id.notice_text));
    click(R.id.notice_button);
    Intent started = shadowOf((Activity) activity()).getNextStartedActivity();
    while (started != null
        && !Settings.ACTION_APPLICATION_DETAILS_SETTINGS.equals(started.getAction())) {
      started = shadowOf((Activity) activity()).getNextStartedActivity();
    }
    assertNotNull(started);
    assertEquals("package:" + app.getPackageName(), started.getDataString());
    lifecycle.pause();
    grant();
    lifecycle.resume();
    idle();
    waitForSamples(16_000);
    assertFalse(isSeen(R.id.notice));
  }

  @Test
  public void deniedIsNotAskedAgainWhenTurned() {
    open();
    answer(false, true);
    lifecycle.recreate();
    idle();
    assertEquals(activity().getString(R.string.notice_for_good), text(R.id.notice_text));
    assertFalse(wasAsked());
  }

  @Test
  public void otherScreensNeedNoPermission() {
    open();
    answer(false, false);
    click(R.id.tab_model);
    assertFalse(isSeen(R.id.notice));
    click(R.id.tab_teach);
    assertTrue(isSeen(R.id.notice));
    assertFalse(view(R.id.record).isEnabled());
  }

  // --- Microphone ---------------------------------------------------------------------------

  @Test
  public void pauseReleasesTheMicrophoneAndResumeTakesItBack() {
    grant();
    open();
    waitForSamples(16_000);
    lifecycle.pause();
    assertFalse(app.microphone.isOpen());
    lifecycle.resume();
    idle();
    waitForSamples(16_000);
    assertEquals(2, app.microphone.opened);
  }

  @Test
  public void onlyScreensThatListenHoldTheMicrophone() {
    grant();
    open();
    waitForSamples(16_000);
    click(R.id.tab_benchmark);
    assertFalse(app.microphone.isOpen());
    click(R.id.tab_teach);
    waitForSamples(16_000);
  }

  @Test
  public void interruptedMicrophoneSaysSoAndCanBeTriedAgain() {
    grant();
    open();
    waitForSamples(16_000);
    app.microphone.breaks = true;
    waitFor(
        "the notice",
        new Callable<Boolean>() {
          @Override
          public Boolean call() {
            return isSeen(R.id.notice);
          }
        });
    assertEquals(activity().getString(R.string.notice_interrupted), text(R.id.notice_text));
    assertEquals(activity().getString(R.string.recognised_off), label());
    app.microphone.breaks = false;
    click(R.id.notice_button);
    waitForSamples(16_000);
    assertFalse(isSeen(R.id.notice));
  }

  // --- Teaching -----------------------------------------------------------------------------

  @Test
  public void wavThroughTheModelToALabel() throws IOException {
    grant();
    open();
    click(R.id.tab_teach);
    teach("Doorbell", Sounds.throughWav(Sounds.doorbell(4)));
    teach("Whistle", Sounds.throughWav(Sounds.whistle(4)));
    teach("Clapping", Sounds.throughWav(Sounds.claps(4)));
    assertEquals(3, ((ViewGroup) view(R.id.taught)).getChildCount());
    feed(Sounds.throughWav(Sounds.whistle(5.3)));
    assertEquals("Whistle", label());
    feed(Sounds.throughWav(Sounds.doorbell(5.3)));
    assertEquals("Doorbell", label());
    feed(Sounds.throughWav(Sounds.claps(5.3)));
    assertEquals("Clapping", label());
  }

  @Test
  public void turningKeepsTaughtSoundsAndTheNameBeingTyped() {
    grant();
    open();
    click(R.id.tab_teach);
    teach("Doorbell", Sounds.doorbell(3));
    record(Sounds.whistle(3));
    ((EditText) view(R.id.name)).setText("Whis");
    lifecycle.recreate();
    idle();
    assertTrue(isSeen(R.id.page_teach));
    assertEquals(1, ((ViewGroup) view(R.id.taught)).getChildCount());
    assertTrue(isSeen(R.id.naming));
    assertEquals("Whis", text(R.id.name));
    click(R.id.save);
    assertEquals(2, app.controller().taught().size());
  }

  @Test
  public void taughtSoundsAreStored() throws IOException {
    grant();
    open();
    click(R.id.tab_teach);
    teach("Doorbell", Sounds.doorbell(3));
    int count = app.controller().taught().get("Doorbell");
    assertTrue(count > 10);
    Neighbours stored = new TaughtStore(app.getFilesDir()).load(app.model().id, app.model().encoder.embeddingDim());
    assertEquals(count, stored.count("Doorbell"));
  }

  @Test
  public void shortHoldsAndBlankNamesAreExplained() {
    grant();
    open();
    click(R.id.tab_teach);
    record(Sounds.doorbell(0.5));
    assertFalse(isSeen(R.id.naming));
    assertEquals(activity().getString(R.string.record_too_short), text(R.id.record_hint));
    record(Sounds.doorbell(3));
    click(R.id.save);
    assertEquals(
        activity().getString(R.string.name_needed),
        ((EditText) view(R.id.name)).getError().toString());
    click(R.id.discard);
    assertEquals(0, app.controller().taught().size());
    assertFalse(isSeen(R.id.naming));
  }

  @Test
  public void deletingAsksOnce() {
    grant();
    open();
    click(R.id.tab_teach);
    teach("Doorbell", Sounds.doorbell(3));
    click(R.id.row_delete);
    assertEquals(activity().getString(R.string.delete_sure), text(R.id.row_delete));
    assertEquals(1, app.controller().taught().size());
    click(R.id.row_delete);
    assertEquals(0, app.controller().taught().size());
    assertTrue(new TaughtStore(app.getFilesDir()).load(app.model().id, app.model().encoder.embeddingDim()).labels().isEmpty());
  }

  @Test
  public void exportWritesJson() throws Exception {
    grant();
    open();
    click(R.id.tab_teach);
    teach("Doorbell", Sounds.doorbell(3));
    click(R.id.export);
    Intent asked = shadowOf((Activity) activity()).getNextStartedActivityForResult().intent;
    assertEquals(Intent.ACTION_CREATE_DOCUMENT, asked.getAction());
    Uri uri = Uri.parse("content://files/taught.json");
    ByteArrayOutputStream file = new ByteArrayOutputStream();
    shadowOf(app.getContentResolver()).registerOutputStream(uri, file);
    shadowOf((Activity) activity())
        .receiveResult(asked, Activity.RESULT_OK, new Intent().setData(uri));
    assertEquals("Doorbell", Neighbours.fromJson(file.toString("UTF-8")).labels().get(0));
  }

  // --- Explore ------------------------------------------------------------------------------

  private void waitForAnswer() {
    waitFor(
        "the answer",
        new Callable<Boolean>() {
          @Override
          public Boolean call() {
            return !app.explorer().isBusy();
          }
        });
  }

  /** Holds a sound of four seconds, of which A is marked at 1 s. */
  private void holdDoorbell() {
    click(R.id.tab_explore);
    feed(Sounds.doorbell(4));
    click(R.id.explore_hold);
    ((SeekBar) view(R.id.moment_a)).setProgress(100);
    waitForAnswer();
  }

  @Test
  public void heldSoundIsExploredWithoutTheMicrophone() {
    grant();
    open();
    holdDoorbell();
    assertFalse(app.microphone.isOpen());
    assertTrue(isSeen(R.id.explore_picture));
    assertFalse(isSeen(R.id.explore_live));
    assertEquals(16_000, app.explorer().first());
    assertEquals(activity().getString(R.string.moment_a_at, 1.0), text(R.id.moment_a_name));
    String expected = text(R.id.explore_expected);
    assertTrue(expected, expected.startsWith(activity().getString(R.string.explore_muted)));
    Explorer.Findings findings = app.explorer().findings();
    Explorer.Label best = findings.labels.get(0);
    String label = activity().getString(R.string.explore_label, best.name, best.score);
    assertTrue(text(R.id.explore_labels).startsWith(label + "\n"));
    double apart = Math.abs(app.explorer().first() - app.explorer().second()) / 16_000.0;
    assertEquals(
        activity().getString(R.string.explore_gap, findings.seconds, apart), text(R.id.explore_gap));
    click(R.id.explore_hold);
    assertTrue(isSeen(R.id.explore_live));
    waitForSamples(16_000);
    assertTrue(app.microphone.isOpen());
  }

  @Test
  public void recordedMutedAndExpectedSoundsArePlayed() {
    grant();
    open();
    holdDoorbell();
    click(R.id.play_recorded);
    assertSame(app.explorer().recording(), app.player.played);
    click(R.id.play_muted);
    assertArrayEquals(app.explorer().findings().expected.silenced(), app.player.played);
    click(R.id.play_expected);
    assertSame(app.explorer().findings().sound, app.player.played);
    click(R.id.tab_listen);
    assertNull(app.player.played);
    click(R.id.tab_explore);
    click(R.id.play_expected);
    lifecycle.pause();
    assertNull(app.player.played);
  }

  @Test
  public void aFingerMovesTheNearestMark() {
    grant();
    open();
    holdDoorbell();
    View picture = view(R.id.explore_picture);
    int second = app.explorer().second();
    float x = picture.getWidth() * 0.2f;
    for (int action : new int[] {MotionEvent.ACTION_DOWN, MotionEvent.ACTION_UP}) {
      MotionEvent event = MotionEvent.obtain(0, 0, action, x, 1, 0);
      picture.dispatchTouchEvent(event);
      event.recycle();
    }
    int start = Math.round(0.2f * 64_000) - Explorer.SPAN / 2;
    assertEquals(start, app.explorer().first(), 160);
    assertEquals(second, app.explorer().second());
    assertEquals(app.explorer().first() / 160, ((SeekBar) view(R.id.moment_a)).getProgress());
  }

  @Test
  public void turningKeepsTheHeldSoundAndItsMarks() {
    grant();
    open();
    holdDoorbell();
    short[] held = app.explorer().recording();
    lifecycle.recreate();
    idle();
    assertSame(held, app.explorer().recording());
    assertTrue(isSeen(R.id.explore_picture));
    assertEquals(100, ((SeekBar) view(R.id.moment_a)).getProgress());
    assertEquals(16_000, app.explorer().first());
    assertFalse(app.microphone.isOpen());
  }

  @Test
  public void withoutFilesThePageSaysWhichItNeeds() throws IOException {
    app.withoutParts = true;
    grant();
    open();
    click(R.id.tab_explore);
    waitForAnswer();
    assertEquals(
        activity().getString(R.string.explore_no_reconstruct), text(R.id.explore_expected));
    assertEquals(activity().getString(R.string.explore_no_gap), text(R.id.explore_gap));
    assertEquals(
        activity().getString(R.string.explore_no_classifier), text(R.id.explore_labels));
    openFile(new File(TestApp.GOLDEN, "reconstruct_window.tflite"), R.id.explore_open);
    assertEquals(
        activity().getString(R.string.part_opened, "reconstruct_window.tflite"),
        text(R.id.explore_message));
    assertEquals(
        activity().getString(R.string.explore_ready, "reconstruct_window.tflite"),
        text(R.id.explore_expected));
    assertTrue(app.model().bundled); // the encoder is another matter
  }

  @Test
  public void tooShortSoundIsExplained() {
    grant();
    open();
    click(R.id.tab_explore);
    feed(Sounds.doorbell(0.5));
    click(R.id.explore_hold);
    assertEquals(
        activity().getString(R.string.explore_hold_short), text(R.id.explore_hint));
    assertTrue(isSeen(R.id.explore_live));
  }

  // --- Model --------------------------------------------------------------------------------

  @Test
  public void wrongFilesAreRefusedAndTheModelStays() throws IOException {
    grant();
    open();
    click(R.id.tab_model);
    String before = text(R.id.model_id);
    for (String wrong : new String[] {"pcm.s16", "window.tflite", "log_mel.tflite"}) {
      openFile(new File(TestApp.GOLDEN, wrong));
      String message = text(R.id.model_message);
      assertTrue(message, message.startsWith(wrong + " cannot be used: "));
      assertTrue(message, message.endsWith(activity().getString(R.string.model_kept)));
      assertEquals(before, text(R.id.model_id));
    }
    click(R.id.tab_listen);
    waitForSamples(16_000);
  }

  @Test
  public void openedModelIsUsedAndBackAgain() throws IOException {
    grant();
    open();
    click(R.id.tab_model);
    String before = text(R.id.model_id);
    openFile(new File(TestApp.GOLDEN, "external.tflite"));
    assertEquals("external.tflite", text(R.id.model_name));
    assertNotEquals(before, text(R.id.model_id));
    click(R.id.tab_listen);
    waitForSamples(16_000);
    click(R.id.tab_model);
    click(R.id.model_use_bundled);
    assertEquals(before, text(R.id.model_id));
    assertFalse(isSeen(R.id.model_use_bundled));
  }

  // --- Benchmark ----------------------------------------------------------------------------

  @Test
  public void benchmarkGivesResultsToShare() throws Exception {
    grant();
    open();
    click(R.id.tab_benchmark);
    assertFalse(isSeen(R.id.results_share));
    for (int id : new int[] {R.id.threads_2, R.id.threads_4}) {
      ((CompoundButton) view(id)).setChecked(false);
    }
    click(R.id.run);
    lifecycle.recreate();
    waitFor(
        "the results",
        new Callable<Boolean>() {
          @Override
          public Boolean call() {
            return !app.benchmark().isRunning();
          }
        });
    assertTrue(isSeen(R.id.results_share));
    click(R.id.share_json);
    JSONObject shared = new JSONObject(shared());
    JSONObject result = shared.getJSONArray("results").getJSONObject(0);
    assertEquals(1_000, result.getJSONObject("result").getInt("steps"));
    assertEquals(app.model().id, shared.getString("model_id"));
    click(R.id.share_text);
    assertTrue(shared().contains("median"));
  }

  private String shared() {
    Intent chooser = shadowOf((Activity) activity()).getNextStartedActivity();
    Intent send = chooser.getParcelableExtra(Intent.EXTRA_INTENT, Intent.class);
    assertEquals(Intent.ACTION_SEND, send.getAction());
    return send.getStringExtra(Intent.EXTRA_TEXT);
  }

  @Test
  public void nothingToRunCannotBeRun() {
    open();
    click(R.id.tab_benchmark);
    assertTrue(view(R.id.run).isEnabled());
    for (int id : new int[] {R.id.xnnpack_on, R.id.xnnpack_off}) {
      ((CompoundButton) view(id)).setChecked(false);
    }
    assertFalse(view(R.id.run).isEnabled());
  }

  // --- Everything ---------------------------------------------------------------------------

  @Test
  public void everyControlAndPictureHasSomethingToSay() {
    grant();
    open();
    assertDescribed(activity().getWindow().getDecorView());
  }

  private void assertDescribed(View view) {
    if (view instanceof SeekBar && view.isShown()) {
      assertNotNull(view.getContentDescription());
    }
    if (view instanceof PanelView || view instanceof Button) {
      boolean said = view.getContentDescription() != null;
      if (view instanceof Button && !said) {
        said = ((Button) view).getText().length() > 0 || view.getId() == R.id.notice_button;
      }
      assertTrue(view.toString(), said);
    }
    if (view instanceof ViewGroup) {
      for (int i = 0; i < ((ViewGroup) view).getChildCount(); i++) {
        assertDescribed(((ViewGroup) view).getChildAt(i));
      }
    }
  }

  @Test
  public void asksForTheMicrophoneOnly() throws PackageManager.NameNotFoundException {
    String[] asked =
        app.getPackageManager()
            .getPackageInfo(app.getPackageName(), PackageManager.GET_PERMISSIONS)
            .requestedPermissions;
    assertEquals(1, asked.length);
    assertEquals(Manifest.permission.RECORD_AUDIO, asked[0]);
    assertNull(app.failure());
  }
}
