package org.a2vtf.app;

import android.content.Context;
import android.graphics.Canvas;
import android.util.AttributeSet;
import org.a2vtf.core.ColourMap;
import org.a2vtf.core.LogMel;

/** The log-mel spectrogram, the input of the model. */
public final class SpectrogramView extends HistoryView {
  /** The logarithm of the front end's offset: silence. */
  private static final float LEAST = (float) Math.log(1e-2);

  private static final float GREATEST = 3;
  private static final int[] MARKS_HZ = {250, 1_000, 4_000};
  private static final double LOW_MEL = mel(60);
  private static final double HIGH_MEL = mel(7_800);

  private final float[] frame = new float[LogMel.BINS];
  private final int[] column = new int[LogMel.BINS];
  private ScrollingImage image;

  public SpectrogramView(Context context, AttributeSet attributes) {
    super(context, attributes);
  }

  /** The colour of a value of a frame. */
  static int colour(float logMel) {
    return ColourMap.MAGMA.argb((logMel - LEAST) / (GREATEST - LEAST));
  }

  private static double mel(double hz) {
    return Math.log(1 + hz / 700);
  }

  @Override
  protected int background() {
    return ColourMap.MAGMA.argb(0);
  }

  @Override
  protected void onHistory(History shown) {
    image = new ScrollingImage(History.FRAMES, LogMel.BINS, ColourMap.MAGMA.argb(0));
  }

  @Override
  protected void draw(Canvas canvas, History shown, float width, float height) {
    for (long end = shown.frames(); image.added() < end; ) {
      boolean there = shown.frame(image.added(), frame);
      for (int bin = 0; bin < LogMel.BINS; bin++) {
        column[LogMel.BINS - 1 - bin] = colour(there ? frame[bin] : LEAST);
      }
      image.add(column);
    }
    image.draw(canvas, 0, 0, width, height);
    for (int hz : MARKS_HZ) {
      double place = (mel(hz) - LOW_MEL) / (HIGH_MEL - LOW_MEL);
      float y = (float) (height * (1 - place));
      String text =
          hz < 1_000
              ? getResources().getString(R.string.hertz, hz)
              : getResources().getString(R.string.kilohertz, hz / 1_000);
      writeOnImage(canvas, text, dp(8), y + textHeight() / 3);
    }
    String ago = getResources().getString(R.string.last_seconds, History.SECONDS);
    writeOnImage(canvas, ago, width - widthOf(ago) - dp(10), textHeight() + dp(8));
  }
}
