package org.a2vtf.app;

import android.content.Context;
import android.graphics.Canvas;
import android.util.AttributeSet;

/** A rounded panel that draws a part of the history. */
abstract class HistoryView extends PanelView {
  private History history;

  HistoryView(Context context, AttributeSet attributes) {
    super(context, attributes);
  }

  /** Shows a history, from its start. */
  final void show(History shown) {
    if (shown != history) {
      history = shown;
      onHistory(shown);
    }
    invalidate();
  }

  /** Called before another history is drawn. */
  protected abstract void onHistory(History shown);

  protected abstract void draw(Canvas canvas, History shown, float width, float height);

  @Override
  protected final void draw(Canvas canvas, float width, float height) {
    if (history != null) {
      draw(canvas, history, width, height);
    }
  }
}
