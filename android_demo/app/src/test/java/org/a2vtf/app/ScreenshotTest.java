package org.a2vtf.app;

import static org.junit.Assert.assertTrue;
import static org.robolectric.Shadows.shadowOf;

import android.Manifest;
import android.app.Activity;
import android.graphics.Bitmap;
import android.graphics.Canvas;
import android.net.Uri;
import android.os.Looper;
import android.view.View;
import android.view.ViewGroup;
import android.widget.CompoundButton;
import android.widget.EditText;
import android.widget.TextView;
import java.io.ByteArrayInputStream;
import java.io.File;
import java.io.FileOutputStream;
import java.io.IOException;
import java.util.HashSet;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.concurrent.TimeUnit;
import org.junit.After;
import org.junit.Before;
import org.junit.Test;
import org.junit.runner.RunWith;
import org.robolectric.Robolectric;
import org.robolectric.RobolectricTestRunner;
import org.robolectric.RuntimeEnvironment;
import org.robolectric.android.controller.ActivityController;
import org.robolectric.annotation.Config;

/** Draws every screen to target/screenshots and checks that nothing is cut off or left blank. */
@RunWith(RobolectricTestRunner.class)
@Config(application = TestApp.class, qualifiers = ScreenshotTest.PHONE)
public final class ScreenshotTest {
  static final String PHONE = "w360dp-h740dp-notnight-xhdpi";
  private static final String DARK_PHONE = "w360dp-h740dp-night-xhdpi";
  private static final String SMALL_DARK_PHONE = "w320dp-h533dp-night-hdpi";
  private static final String SMALL_PHONE = "w320dp-h533dp-notnight-hdpi";
  private static final String LYING_PHONE = "w740dp-h360dp-land-notnight-xhdpi";
  private static final String TABLET = "sw768dp-w1024dp-h768dp-land-notnight-mdpi";
  private static final File FOLDER = new File("target/screenshots");

  private TestApp app;
  private ActivityController<MainActivity> lifecycle;

  @Before
  public void find() {
    app = (TestApp) RuntimeEnvironment.getApplication();
    assertTrue(FOLDER.isDirectory() || FOLDER.mkdirs());
  }

  @After
  public void end() {
    app.controller().stop();
  }

  private void open(int tab) {
    shadowOf(app).grantPermissions(Manifest.permission.RECORD_AUDIO);
    lifecycle = Robolectric.buildActivity(MainActivity.class).setup();
    select(tab);
  }

  private <T extends View> T view(int id) {
    return lifecycle.get().findViewById(id);
  }

  private void select(int tab) {
    view(tab).performClick();
    pass(100);
  }

  private void pass(int millis) {
    shadowOf(Looper.getMainLooper()).idleFor(millis, TimeUnit.MILLISECONDS);
  }

  private void feed(final short[] sound) {
    app.controller().stop();
    app.microphone.sound = sound;
    app.controller().start();
    Wait.until(
        "the sound",
        new Callable<Boolean>() {
          @Override
          public Boolean call() {
            pass(33);
            return app.controller().samples() >= sound.length;
          }
        });
    pass(1_000);
  }

  private void record(final short[] sound) {
    app.controller().stop();
    app.microphone.sound = sound;
    app.microphone.waits = true;
    app.controller().start();
    app.controller().beginRecording();
    app.microphone.waits = false;
    Wait.until(
        "the sound",
        new Callable<Boolean>() {
          @Override
          public Boolean call() {
            return app.controller().samples() >= sound.length;
          }
        });
  }

  private void teachAll() throws IOException {
    teach("Doorbell", Sounds.doorbell(4));
    teach("Whistle", Sounds.whistle(4));
    teach("Clapping", Sounds.claps(3));
    teach("Nothing", Sounds.silence(2));
  }

  private void teach(String name, short[] sound) throws IOException {
    record(Sounds.inRoom(sound));
    assertTrue(app.controller().endRecording() > 0);
    app.controller().teach(name);
    app.saveTaught();
  }

  private static short[] mixture() {
    return Sounds.inRoom(
        Sounds.join(
            Sounds.claps(5),
            Sounds.silence(2),
            Sounds.doorbell(2.4),
            Sounds.silence(1),
            Sounds.claps(1.5),
            Sounds.whistle(2.4)));
  }

  private void draw(String name) throws IOException {
    View root = lifecycle.get().getWindow().getDecorView();
    assertTrue(root.getWidth() > 0 && root.getHeight() > 0);
    Bitmap bitmap =
        Bitmap.createBitmap(root.getWidth(), root.getHeight(), Bitmap.Config.ARGB_8888);
    root.draw(new Canvas(bitmap));
    int[] pixels = new int[bitmap.getWidth() * bitmap.getHeight()];
    bitmap.getPixels(pixels, 0, bitmap.getWidth(), 0, 0, bitmap.getWidth(), bitmap.getHeight());
    Set<Integer> colours = new HashSet<Integer>();
    for (int i = 0; i < pixels.length; i += 7) {
      colours.add(pixels[i]);
    }
    assertTrue(colours.size() > 20);
    try (FileOutputStream out = new FileOutputStream(new File(FOLDER, name + ".png"))) {
      bitmap.compress(Bitmap.CompressFormat.PNG, 100, out);
    }
    assertFits(root);
  }

  /** Checks that no text is cut off, and that no visible view lies outside of its parent. */
  private static void assertFits(View view) {
    if (view.getVisibility() != View.VISIBLE) {
      return;
    }
    if (view instanceof TextView && ((TextView) view).length() > 0) {
      assertFits((TextView) view);
    }
    if (view instanceof PanelView) {
      float dp = view.getResources().getDisplayMetrics().density;
      assertTrue(view.toString(), view.getHeight() >= 24 * dp && view.getWidth() >= 100 * dp);
    }
    if (view instanceof ViewGroup) {
      for (int i = 0; i < ((ViewGroup) view).getChildCount(); i++) {
        View child = ((ViewGroup) view).getChildAt(i);
        boolean inside = child.getLeft() >= 0 && child.getRight() <= view.getWidth();
        assertTrue(child.toString(), inside || child.getVisibility() != View.VISIBLE);
        assertFits(child);
      }
    }
  }

  private static void assertFits(TextView view) {
    String text = view.getText().toString();
    assertTrue(text, view.getWidth() > 0 && view.getLayout() != null);
    int padding = view.getCompoundPaddingTop() + view.getCompoundPaddingBottom();
    int height = view.getHeight() - padding;
    assertTrue("cut off: " + text, view.getLayout().getHeight() <= height + 2);
    for (int line = 0; line < view.getLineCount() && view.getEllipsize() == null; line++) {
      int width =
          view.getWidth() - view.getCompoundPaddingLeft() - view.getCompoundPaddingRight();
      assertTrue("cut off: " + text, view.getLayout().getLineMax(line) <= width + 2);
    }
  }

  private void listen(String name) throws IOException {
    open(R.id.tab_listen);
    teachAll();
    feed(mixture());
    draw(name);
  }

  @Test
  public void listen() throws IOException {
    listen("listen");
  }

  @Test
  @Config(qualifiers = DARK_PHONE)
  public void listenDark() throws IOException {
    listen("listen_dark");
  }

  @Test
  @Config(qualifiers = SMALL_PHONE)
  public void listenSmall() throws IOException {
    listen("listen_small");
  }

  @Test
  @Config(qualifiers = LYING_PHONE)
  public void listenLying() throws IOException {
    listen("listen_lying");
  }

  @Test
  @Config(qualifiers = TABLET)
  public void listenTablet() throws IOException {
    listen("listen_tablet");
  }

  @Test
  public void teach() throws IOException {
    open(R.id.tab_teach);
    draw("teach_nothing_yet");
    teachAll();
    feed(mixture());
    draw("teach");
    feed(Sounds.inRoom(Sounds.join(Sounds.silence(1), noise())));
    draw("teach_unknown");
  }

  /** A sound unlike all taught ones. */
  private static short[] noise() {
    short[] noise = new short[32_000];
    Random random = new Random(3);
    for (int i = 0; i < noise.length; i++) {
      noise[i] = (short) (8_000 * random.nextGaussian());
    }
    return noise;
  }

  @Test
  public void teachWhileRecordingAndNaming() throws IOException {
    open(R.id.tab_teach);
    record(Sounds.inRoom(Sounds.doorbell(3)));
    pass(100);
    draw("teach_recording");
    app.controller().endRecording();
    pass(100);
    ((EditText) view(R.id.name)).setText("Doorbell");
    draw("teach_naming");
  }

  @Test
  @Config(qualifiers = DARK_PHONE)
  public void teachDark() throws IOException {
    open(R.id.tab_teach);
    teachAll();
    feed(mixture());
    draw("teach_dark");
  }

  @Test
  @Config(qualifiers = TABLET)
  public void teachTablet() throws IOException {
    open(R.id.tab_teach);
    teachAll();
    feed(mixture());
    draw("teach_tablet");
  }

  /** Holds the mixture, of which A is the second bell. */
  private void explore(String name) throws IOException {
    open(R.id.tab_explore);
    feed(mixture());
    view(R.id.explore_hold).performClick();
    app.explorer().mark(64_000, 112_000);
    answer();
    draw(name);
  }

  private void answer() {
    Wait.until(
        "the answer",
        new Callable<Boolean>() {
          @Override
          public Boolean call() {
            pass(10);
            return !app.explorer().isBusy();
          }
        });
    pass(100);
  }

  @Test
  public void explore() throws IOException {
    explore("explore");
  }

  @Test
  @Config(qualifiers = DARK_PHONE)
  public void exploreDark() throws IOException {
    explore("explore_dark");
  }

  @Test
  @Config(qualifiers = SMALL_PHONE)
  public void exploreSmall() throws IOException {
    explore("explore_small");
  }

  @Test
  @Config(qualifiers = LYING_PHONE)
  public void exploreLying() throws IOException {
    explore("explore_lying");
  }

  @Test
  public void exploreWithoutFiles() throws IOException {
    app.withoutParts = true;
    open(R.id.tab_explore);
    feed(mixture());
    answer();
    draw("explore_without_files");
  }

  private void runBenchmark(String name, int toggled) throws IOException {
    open(R.id.tab_benchmark);
    draw(name + "_before");
    ((CompoundButton) view(toggled)).toggle();
    view(R.id.run).performClick();
    Wait.until(
        "the results",
        new Callable<Boolean>() {
          @Override
          public Boolean call() {
            pass(10);
            return !app.benchmark().isRunning();
          }
        });
    pass(100);
    draw(name);
  }

  @Test
  public void benchmark() throws IOException {
    runBenchmark("benchmark", R.id.xnnpack_off);
  }

  @Test
  @Config(qualifiers = SMALL_DARK_PHONE)
  public void benchmarkSmallDark() throws IOException {
    runBenchmark("benchmark_small_dark", R.id.threads_4);
  }

  @Test
  public void model() throws IOException {
    open(R.id.tab_model);
    draw("model");
  }

  @Test
  @Config(qualifiers = DARK_PHONE)
  public void modelRefused() throws IOException {
    open(R.id.tab_model);
    Uri uri = Uri.parse("content://files/holiday.jpg");
    shadowOf(app.getContentResolver())
        .registerInputStream(uri, new ByteArrayInputStream(new byte[1_000]));
    app.openModel(uri);
    Wait.until(
        "the refusal",
        new Callable<Boolean>() {
          @Override
          public Boolean call() {
            pass(10);
            return app.modelMessage().contains("cannot");
          }
        });
    pass(100);
    draw("model_refused_dark");
  }

  @Test
  public void largeFont() throws IOException {
    RuntimeEnvironment.setFontScale(1.5f);
    open(R.id.tab_listen);
    teachAll();
    feed(mixture());
    draw("listen_large_font");
    select(R.id.tab_teach);
    draw("teach_large_font");
    select(R.id.tab_explore);
    view(R.id.explore_hold).performClick();
    answer();
    draw("explore_large_font");
    select(R.id.tab_model);
    draw("model_large_font");
  }

  @Test
  public void denied() throws IOException {
    lifecycle = Robolectric.buildActivity(MainActivity.class).setup();
    pass(100);
    draw("denied");
    shadowOf(app.getPackageManager())
        .setShouldShowRequestPermissionRationale(Manifest.permission.RECORD_AUDIO, false);
    int asked = shadowOf((Activity) lifecycle.get()).getLastRequestedPermission().requestCode;
    lifecycle
        .get()
        .onRequestPermissionsResult(
            asked, new String[] {Manifest.permission.RECORD_AUDIO}, new int[] {-1});
    pass(100);
    draw("denied_for_good");
  }
}
