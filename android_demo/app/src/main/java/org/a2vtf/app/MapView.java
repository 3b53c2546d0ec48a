package org.a2vtf.app;

import android.content.Context;
import android.graphics.Canvas;
import android.graphics.Paint;
import android.util.AttributeSet;
import java.util.Collections;
import java.util.Map;
import org.a2vtf.core.ColourMap;

/** Recent embeddings on a plane, with the positions of the taught sounds. */
public final class MapView extends HistoryView {
  private static final float MARGIN_DP = 22;
  private static final float OLD_DP = 2.5f;
  private static final float NEW_DP = 7;
  private static final int OLD_ALPHA = 90;

  private Map<String, float[]> taught = Collections.emptyMap();
  private float[] points;
  private float left;
  private float right;
  private float top;
  private float bottom;
  private boolean any;

  public MapView(Context context, AttributeSet attributes) {
    super(context, attributes);
  }

  /** Marks the taught sounds. */
  void showTaught(Map<String, float[]> marks) {
    taught = marks;
    invalidate();
  }

  @Override
  protected void onHistory(History shown) {
    points = new float[2 * shown.capacity()];
  }

  @Override
  protected void draw(Canvas canvas, History shown, float width, float height) {
    int number = shown.points(points);
    spread(number);
    write(canvas, getResources().getString(R.string.map), dp(8), textHeight() + dp(6));
    paint.setStyle(Paint.Style.FILL);
    for (int i = 0; i < number; i++) {
      float age = (i + 1f) / number;
      paint.setColor(ColourMap.VIRIDIS.argb(0.3f + 0.6f * age));
      paint.setAlpha((int) (OLD_ALPHA + (255 - OLD_ALPHA) * age));
      float radius = dp(i == number - 1 ? NEW_DP : OLD_DP + age);
      canvas.drawCircle(x(points[2 * i], width), y(points[2 * i + 1], height), radius, paint);
    }
    for (Map.Entry<String, float[]> sound : taught.entrySet()) {
      mark(canvas, sound.getKey(), sound.getValue(), width, height);
    }
  }

  private void mark(Canvas canvas, String name, float[] point, float width, float height) {
    float x = x(point[0], width);
    float y = y(point[1], height);
    paint.setColor(getContext().getColor(R.color.accent));
    paint.setStyle(Paint.Style.STROKE);
    paint.setStrokeWidth(dp(2));
    canvas.drawCircle(x, y, dp(6), paint);
    float wide = widthOf(name);
    float start = x + dp(10) + wide > width - dp(4) ? x - dp(10) - wide : x + dp(10);
    writeOver(canvas, name, Math.max(dp(4), start), y + textHeight() / 3);
  }

  /** Computes the extent of all points. */
  private void spread(int number) {
    any = false;
    for (int i = 0; i < number; i++) {
      extend(points[2 * i], points[2 * i + 1]);
    }
    for (float[] point : taught.values()) {
      extend(point[0], point[1]);
    }
    float least = 1e-6f;
    right = Math.max(right, left + least);
    top = Math.max(top, bottom + least);
  }

  private void extend(float x, float y) {
    left = any ? Math.min(left, x) : x;
    right = any ? Math.max(right, x) : x;
    bottom = any ? Math.min(bottom, y) : y;
    top = any ? Math.max(top, y) : y;
    any = true;
  }

  private float x(float value, float width) {
    return dp(MARGIN_DP) + (width - 2 * dp(MARGIN_DP)) * (value - left) / (right - left);
  }

  private float y(float value, float height) {
    float room = height - 2 * dp(MARGIN_DP);
    return height - dp(MARGIN_DP) - room * (value - bottom) / (top - bottom);
  }
}
