package org.a2vtf.app;

import android.content.Context;
import android.graphics.Canvas;
import android.graphics.Color;
import android.graphics.Paint;
import android.graphics.Path;
import android.util.AttributeSet;
import android.util.TypedValue;
import android.view.View;

/** A rounded panel, and text on it. */
abstract class PanelView extends View {
  private static final float RADIUS_DP = 12;
  private static final float LABEL_SP = 11;
  private static final int ON_IMAGE = 0xd9ffffff;

  protected final Paint paint = new Paint(Paint.ANTI_ALIAS_FLAG);
  private final Paint label = new Paint(Paint.ANTI_ALIAS_FLAG);
  private final Path outline = new Path();

  PanelView(Context context, AttributeSet attributes) {
    super(context, attributes);
    label.setTextSize(pixels(TypedValue.COMPLEX_UNIT_SP, LABEL_SP));
  }

  /** Draws within the rounded corners. */
  protected abstract void draw(Canvas canvas, float width, float height);

  @Override
  protected final void onDraw(Canvas canvas) {
    float radius = dp(RADIUS_DP);
    outline.reset();
    outline.addRoundRect(0, 0, getWidth(), getHeight(), radius, radius, Path.Direction.CW);
    canvas.save();
    canvas.clipPath(outline);
    canvas.drawColor(background());
    draw(canvas, getWidth(), getHeight());
    canvas.restore();
  }

  protected int background() {
    return getContext().getColor(R.color.panel);
  }

  /** Draws white text with a shadow, for images of any colour. */
  protected final void writeOnImage(Canvas canvas, String text, float x, float y) {
    label.setColor(ON_IMAGE);
    label.setShadowLayer(dp(2), 0, 0, Color.BLACK);
    canvas.drawText(text, x, y, label);
  }

  protected final void write(Canvas canvas, String text, float x, float y) {
    label.setColor(getContext().getColor(R.color.muted));
    label.clearShadowLayer();
    canvas.drawText(text, x, y, label);
  }

  /** Draws text with an outline in the panel's colour, for a busy background. */
  protected final void writeOver(Canvas canvas, String text, float x, float y) {
    label.setStyle(Paint.Style.STROKE);
    label.setStrokeWidth(dp(3));
    label.setColor(getContext().getColor(R.color.panel));
    label.clearShadowLayer();
    canvas.drawText(text, x, y, label);
    label.setStyle(Paint.Style.FILL);
    label.setColor(getContext().getColor(R.color.text));
    canvas.drawText(text, x, y, label);
  }

  protected final float widthOf(String text) {
    return label.measureText(text);
  }

  protected final float textHeight() {
    return label.getTextSize();
  }

  protected final float dp(float value) {
    return pixels(TypedValue.COMPLEX_UNIT_DIP, value);
  }

  private float pixels(int unit, float value) {
    return TypedValue.applyDimension(unit, value, getResources().getDisplayMetrics());
  }
}
