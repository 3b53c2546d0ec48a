package org.a2vtf.app;

import java.util.List;
import org.json.JSONArray;
import org.json.JSONException;
import org.json.JSONObject;

/** Results of the benchmark, for sharing. */
final class BenchmarkReport {
  private BenchmarkReport() {}

  static String text(ModelLibrary.Model model, String device, List<BenchmarkRunner.Row> rows) {
    StringBuilder text = new StringBuilder();
    text.append(model.description).append(" (").append(model.id).append(")\n");
    text.append(device).append("\n\n");
    for (BenchmarkRunner.Row row : rows) {
      text.append(
              row.result == null ? row.setting + ": " + row.failure + "\n" : row.result.toText())
          .append('\n');
    }
    return text.toString();
  }

  static String json(ModelLibrary.Model model, String device, List<BenchmarkRunner.Row> rows) {
    try {
      JSONArray results = new JSONArray();
      for (BenchmarkRunner.Row row : rows) {
        JSONObject result = new JSONObject();
        result.put("threads", row.setting.threads);
        result.put("xnnpack", row.setting.xnnpack);
        if (row.result == null) {
          result.put("failure", row.failure);
        } else {
          result.put("result", new JSONObject(row.result.toJson()));
        }
        results.put(result);
      }
      JSONObject report = new JSONObject();
      report.put("model", model.description);
      report.put("model_id", model.id);
      report.put("device", device);
      report.put("results", results);
      return report.toString(2);
    } catch (JSONException error) {
      throw new IllegalStateException(error);
    }
  }
}
