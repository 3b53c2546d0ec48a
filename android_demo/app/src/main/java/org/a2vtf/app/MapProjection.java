package org.a2vtf.app;

import java.util.Random;
import org.a2vtf.core.Projection;
import org.json.JSONArray;
import org.json.JSONException;
import org.json.JSONObject;

/** The fixed map of embeddings to the plane that ships with the app's own model. */
final class MapProjection {
  private static final int SEED = 1;

  private MapProjection() {}

  /**
   * Reads {@code {"projection": {"matrix": [2 d numbers, or two rows], "mean": [d numbers]}}}.
   *
   * @param json the model's JSON file; null for a model that the user opened
   * @return the map; a fixed random one if there is none or it has another d
   */
  static Projection read(String json, int dim) {
    if (json != null) {
      try {
        JSONObject projection = new JSONObject(json).getJSONObject("projection");
        float[] mean = numbers(projection.getJSONArray("mean"));
        float[] matrix = numbers(projection.getJSONArray("matrix"));
        if (mean.length == dim && matrix.length == 2 * dim) {
          return new Projection(matrix, mean);
        }
      } catch (JSONException error) {
        // Without a valid map, the app still listens.
      }
    }
    return random(dim);
  }

  private static Projection random(int dim) {
    Random random = new Random(SEED);
    float[] matrix = new float[2 * dim];
    for (int i = 0; i < matrix.length; i++) {
      matrix[i] = (float) (random.nextGaussian() / Math.sqrt(dim));
    }
    return new Projection(matrix, new float[dim]);
  }

  private static float[] numbers(JSONArray array) throws JSONException {
    if (array.length() == 2 && array.opt(0) instanceof JSONArray) {
      float[] first = numbers(array.getJSONArray(0));
      float[] second = numbers(array.getJSONArray(1));
      float[] both = new float[first.length + second.length];
      System.arraycopy(first, 0, both, 0, first.length);
      System.arraycopy(second, 0, both, first.length, second.length);
      return both;
    }
    float[] values = new float[array.length()];
    for (int i = 0; i < values.length; i++) {
      values[i] = (float) array.getDouble(i);
    }
    return values;
  }
}
