package org.a2vtf.app;

import android.content.Context;
import android.graphics.Canvas;
import android.graphics.Paint;
import android.graphics.Path;
import android.util.AttributeSet;
import java.util.Locale;

/** A curve of the novelty of each embedding relative to the previous second. */
public final class NoveltyView extends HistoryView {
  private static final float LEAST_RANGE = 0.1f;
  private static final int FILL_ALPHA = 0x40;

  private final Path curve = new Path();
  private float[] values;

  public NoveltyView(Context context, AttributeSet attributes) {
    super(context, attributes);
  }

  @Override
  protected void onHistory(History shown) {
    values = new float[shown.embeddingsShown];
  }

  @Override
  protected void draw(Canvas canvas, History shown, float width, float height) {
    int number = shown.novelties(values);
    float most = LEAST_RANGE;
    for (int i = 0; i < number; i++) {
      most = Math.max(most, values[i]);
    }
    String name = getResources().getString(R.string.novelty);
    write(canvas, name, dp(8), textHeight() + dp(6));
    String range = String.format(Locale.getDefault(), "%.2f", most);
    write(canvas, range, width - widthOf(range) - dp(8), textHeight() + dp(6));
    if (number < 2) {
      return;
    }
    float bottom = height - dp(6);
    float room = bottom - textHeight() - dp(12);
    float step = width / (values.length - 1);
    curve.reset();
    for (int i = 0; i < number; i++) {
      float x = width - step * (number - 1 - i);
      float y = bottom - room * values[i] / most;
      if (i == 0) {
        curve.moveTo(x, y);
      } else {
        curve.lineTo(x, y);
      }
    }
    int colour = getContext().getColor(R.color.accent);
    paint.setColor(colour);
    paint.setStyle(Paint.Style.STROKE);
    paint.setStrokeWidth(dp(2));
    canvas.drawPath(curve, paint);
    curve.lineTo(width, height);
    curve.lineTo(width - step * (number - 1), height);
    curve.close();
    paint.setStyle(Paint.Style.FILL);
    paint.setAlpha(FILL_ALPHA);
    canvas.drawPath(curve, paint);
  }
}
