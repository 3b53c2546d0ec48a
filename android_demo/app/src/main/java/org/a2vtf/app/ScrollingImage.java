package org.a2vtf.app;

import android.graphics.Bitmap;
import android.graphics.Canvas;
import android.graphics.Paint;
import android.graphics.Rect;
import android.graphics.RectF;

/** An image that grows by columns; the newest one is drawn at the right. */
final class ScrollingImage {
  private final Bitmap bitmap;
  private final Paint paint = new Paint(Paint.FILTER_BITMAP_FLAG);
  private final Rect from = new Rect();
  private final RectF to = new RectF();
  private final int columns;
  private final int rows;
  private long added;

  ScrollingImage(int columns, int rows, int background) {
    this.columns = columns;
    this.rows = rows;
    bitmap = Bitmap.createBitmap(columns, rows, Bitmap.Config.ARGB_8888);
    bitmap.eraseColor(background);
  }

  /** Number of columns added so far. */
  long added() {
    return added;
  }

  /** Adds a column, top row first. */
  void add(int[] column) {
    bitmap.setPixels(column, 0, 1, (int) (added % columns), 0, 1, rows);
    added++;
  }

  void draw(Canvas canvas, float left, float top, float right, float bottom) {
    int split = (int) (added % columns);
    float middle = left + (right - left) * (columns - split) / columns;
    draw(canvas, split, columns, left, top, middle, bottom);
    draw(canvas, 0, split, middle, top, right, bottom);
  }

  private void draw(
      Canvas canvas, int first, int last, float left, float top, float right, float bottom) {
    if (first < last) {
      from.set(first, 0, last, rows);
      to.set(left, top, right, bottom);
      canvas.drawBitmap(bitmap, from, to, paint);
    }
  }
}
