package org.a2vtf.app;

import android.content.Context;
import android.graphics.Bitmap;
import android.graphics.Canvas;
import android.graphics.Paint;
import android.graphics.RectF;
import android.util.AttributeSet;
import android.view.MotionEvent;
import org.a2vtf.core.ColourMap;
import org.a2vtf.core.LogMel;

/**
 * The log-mel spectrogram of a held recording with two marked moments, and below it the same with
 * what the model expects. A finger moves the nearest mark.
 */
public final class ExploreView extends PanelView {
  /** Is called while a finger moves a mark. */
  interface Listener {
    /** Takes the samples where the moments start; they may lie outside of the recording. */
    void onMarked(int first, int second);
  }

  private static final int SHADE = 0x99000000;
  private static final int FIRST_COLOUR = 0xffffffff;
  private static final int SECOND_COLOUR = 0xff5ad5da;

  private final Paint image = new Paint(Paint.FILTER_BITMAP_FLAG);
  private final RectF place = new RectF();
  private Listener listener;
  private int samples = Explorer.SPAN;
  private int first;
  private int second;
  private boolean movesFirst;
  private float[] drawn;
  private Bitmap recorded;
  private Expectation expectation;
  private Bitmap expected;

  public ExploreView(Context context, AttributeSet attributes) {
    super(context, attributes);
  }

  void setListener(Listener listener) {
    this.listener = listener;
  }

  /** Shows a recording, its marks and what is known about them. */
  void show(short[] recording, int first, int second, Explorer.Findings findings) {
    samples = recording.length;
    this.first = first;
    this.second = second;
    if (findings.logMel != drawn) {
      drawn = findings.logMel;
      recorded = drawn == null ? null : picture(drawn);
    }
    if (findings.expected != expectation) {
      expectation = findings.expected;
      expected = expectation == null ? null : pictureOf(expectation);
    }
    invalidate();
  }

  private static Bitmap picture(float[] logMel) {
    int frames = logMel.length / LogMel.BINS;
    int[] pixels = new int[frames * LogMel.BINS];
    for (int frame = 0; frame < frames; frame++) {
      for (int bin = 0; bin < LogMel.BINS; bin++) {
        pixels[(LogMel.BINS - 1 - bin) * frames + frame] =
            SpectrogramView.colour(logMel[frame * LogMel.BINS + bin]);
      }
    }
    return Bitmap.createBitmap(pixels, frames, LogMel.BINS, Bitmap.Config.ARGB_8888);
  }

  /** The recording's frames, with those of the predicted slices in their places. */
  private Bitmap pictureOf(Expectation expectation) {
    float[] frames = drawn.clone();
    for (int i = 0; i < expectation.starts.length; i++) {
      float[] slice = expectation.slices[i];
      int at = expectation.starts[i] / LogMel.HOP * LogMel.BINS;
      System.arraycopy(slice, 0, frames, at, Math.min(slice.length, frames.length - at));
    }
    return picture(frames);
  }

  @Override
  protected int background() {
    return ColourMap.MAGMA.argb(0);
  }

  @Override
  protected void draw(Canvas canvas, float width, float height) {
    float gap = dp(4);
    float bottom = expected == null ? height : (height - gap) / 2;
    if (recorded != null) {
      place.set(0, 0, width, bottom);
      canvas.drawBitmap(recorded, null, place, image);
    }
    if (expected != null) {
      place.set(0, bottom + gap, width, height);
      canvas.drawBitmap(expected, null, place, image);
      paint.setColor(getContext().getColor(R.color.panel));
      canvas.drawRect(0, bottom, width, bottom + gap, paint);
      for (int start : expectation.starts) {
        outline(canvas, start, expectation.samples, bottom + gap, height, FIRST_COLOUR);
      }
      float y = bottom + gap + textHeight() + dp(6);
      writeOnImage(canvas, getResources().getString(R.string.explore_expected), dp(8), y);
    }
    String name = getResources().getString(R.string.explore_recorded);
    writeOnImage(canvas, name, dp(8), textHeight() + dp(6));
    mark(canvas, second, R.string.moment_b, SECOND_COLOUR, bottom);
    mark(canvas, first, R.string.moment_a, FIRST_COLOUR, bottom);
  }

  private void mark(Canvas canvas, int start, int name, int colour, float bottom) {
    outline(canvas, start, Explorer.SPAN, 0, bottom, colour);
    String text = getResources().getString(name);
    float middle = getWidth() * (start + Explorer.SPAN / 2f) / samples;
    writeOnImage(canvas, text, middle - widthOf(text) / 2, bottom - dp(8));
  }

  private void outline(
      Canvas canvas, int start, int length, float top, float bottom, int colour) {
    float stroke = dp(2);
    float left = (float) getWidth() * start / samples;
    float right = (float) getWidth() * (start + length) / samples;
    place.set(left - stroke / 2, top + stroke / 2, right + stroke / 2, bottom - stroke / 2);
    paint.setStyle(Paint.Style.STROKE);
    paint.setStrokeWidth(stroke + dp(1));
    paint.setColor(SHADE);
    canvas.drawRect(place, paint);
    paint.setStrokeWidth(stroke);
    paint.setColor(colour);
    canvas.drawRect(place, paint);
    paint.setStyle(Paint.Style.FILL);
  }

  @Override
  public boolean onTouchEvent(MotionEvent event) {
    int start = Math.round(samples * event.getX() / getWidth()) - Explorer.SPAN / 2;
    switch (event.getActionMasked()) {
      case MotionEvent.ACTION_DOWN:
        getParent().requestDisallowInterceptTouchEvent(true);
        movesFirst = Math.abs(start - first) <= Math.abs(start - second);
        move(start);
        return true;
      case MotionEvent.ACTION_MOVE:
        move(start);
        return true;
      case MotionEvent.ACTION_UP:
        performClick();
        return true;
      default:
        return true;
    }
  }

  private void move(int start) {
    if (listener != null) {
      listener.onMarked(movesFirst ? start : first, movesFirst ? second : start);
    }
  }
}
