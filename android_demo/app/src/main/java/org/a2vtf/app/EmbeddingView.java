package org.a2vtf.app;

import android.content.Context;
import android.graphics.Canvas;
import android.util.AttributeSet;
import org.a2vtf.core.ColourMap;

/**
 * The embeddings as a heat map: a row for each dimension, coloured by its deviation from its mean
 * so far.
 */
public final class EmbeddingView extends HistoryView {
  /** Range of the colours in standard deviations, in both directions. */
  private static final float DEVIATIONS = 2.5f;

  private static final int LONGEST_MEMORY = 500; // embeddings

  private float[] embedding;
  private int[] column;
  private ScrollingImage image;
  private float[] mean;
  private double variance;
  private int seen;

  public EmbeddingView(Context context, AttributeSet attributes) {
    super(context, attributes);
  }

  @Override
  protected int background() {
    return ColourMap.VIRIDIS.argb(0);
  }

  @Override
  protected void onHistory(History shown) {
    embedding = new float[shown.dim];
    column = new int[shown.dim];
    image = new ScrollingImage(shown.embeddingsShown, shown.dim, background());
    mean = new float[shown.dim];
    variance = 0;
    seen = 0;
  }

  @Override
  protected void draw(Canvas canvas, History shown, float width, float height) {
    for (long end = shown.count(); image.added() < end; ) {
      if (shown.embedding(image.added(), embedding)) {
        colour();
      }
      image.add(column);
    }
    image.draw(canvas, 0, 0, width, height);
    String name = getResources().getString(R.string.embedding_rows, shown.dim);
    writeOnImage(canvas, name, dp(8), textHeight() + dp(8));
  }

  private void colour() {
    seen = Math.min(seen + 1, LONGEST_MEMORY);
    double squares = 0;
    for (int i = 0; i < mean.length; i++) {
      mean[i] += (embedding[i] - mean[i]) / seen;
      squares += (embedding[i] - mean[i]) * (embedding[i] - mean[i]);
    }
    variance += (squares / mean.length - variance) / seen;
    double range = 2 * DEVIATIONS * Math.sqrt(Math.max(1e-12, variance));
    for (int i = 0; i < mean.length; i++) {
      column[i] = ColourMap.VIRIDIS.argb((float) ((embedding[i] - mean[i]) / range + 0.5));
    }
  }
}
