package org.a2vtf.app;

import android.content.ActivityNotFoundException;
import android.content.Intent;
import android.os.Build;
import android.view.View;
import android.view.ViewGroup;
import android.widget.Button;
import android.widget.CompoundButton;
import android.widget.ProgressBar;
import android.widget.TextView;
import android.widget.Toast;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/** Runs the benchmark of the model in use. */
final class BenchmarkPage extends Page {
  private static final int[] THREAD_BUTTONS = {R.id.threads_1, R.id.threads_2, R.id.threads_4};
  private static final int[] THREADS = {1, 2, 4};
  private static final int[] XNNPACK_BUTTONS = {R.id.xnnpack_on, R.id.xnnpack_off};
  private static final boolean[] XNNPACK = {true, false};

  private final Button run;
  private final ProgressBar progress;
  private final ViewGroup table;
  private final View none;
  private final View share;
  private int shownRows = -1;

  BenchmarkPage(MainActivity activity) {
    super(activity, R.id.page_benchmark);
    run = view.findViewById(R.id.run);
    progress = view.findViewById(R.id.progress);
    table = view.findViewById(R.id.results);
    none = view.findViewById(R.id.results_none);
    share = view.findViewById(R.id.results_share);
    ((TextView) view.findViewById(R.id.benchmark_hint))
        .setText(text(R.string.benchmark_hint, BenchmarkRunner.STEPS, BenchmarkRunner.WARM_UP));
    run.setOnClickListener(
        new View.OnClickListener() {
          @Override
          public void onClick(View clicked) {
            startOrCancel();
          }
        });
    for (int id : THREAD_BUTTONS) {
      listenToChoice(id);
    }
    for (int id : XNNPACK_BUTTONS) {
      listenToChoice(id);
    }
    listenToShare(R.id.share_text, false);
    listenToShare(R.id.share_json, true);
  }

  @Override
  void refresh() {
    BenchmarkRunner benchmark = app.benchmark();
    boolean running = benchmark.isRunning();
    run.setText(running ? R.string.cancel : R.string.run);
    run.setEnabled(running || (app.model() != null && !settings().isEmpty()));
    progress.setVisibility(running ? View.VISIBLE : View.GONE);
    progress.setMax(Math.max(1, benchmark.of()));
    progress.setProgress(benchmark.done());
    List<BenchmarkRunner.Row> rows = benchmark.rows();
    none.setVisibility(rows.isEmpty() ? View.VISIBLE : View.GONE);
    share.setVisibility(rows.isEmpty() ? View.GONE : View.VISIBLE);
    if (rows.size() != shownRows) {
      shownRows = rows.size();
      show(rows);
    }
  }

  private void listenToChoice(int id) {
    ((CompoundButton) view.findViewById(id))
        .setOnCheckedChangeListener(
            new CompoundButton.OnCheckedChangeListener() {
              @Override
              public void onCheckedChanged(CompoundButton button, boolean checked) {
                refresh();
              }
            });
  }

  private void startOrCancel() {
    if (app.benchmark().isRunning()) {
      app.benchmark().cancel();
    } else if (app.model() != null) {
      app.benchmark().start(app.model().content, settings(), BenchmarkRunner.STEPS);
    }
    refresh();
  }

  private List<BenchmarkRunner.Setting> settings() {
    List<BenchmarkRunner.Setting> settings = new ArrayList<BenchmarkRunner.Setting>();
    for (int x = 0; x < XNNPACK.length; x++) {
      for (int t = 0; t < THREADS.length; t++) {
        if (isChecked(XNNPACK_BUTTONS[x]) && isChecked(THREAD_BUTTONS[t])) {
          settings.add(new BenchmarkRunner.Setting(THREADS[t], XNNPACK[x]));
        }
      }
    }
    return settings;
  }

  private boolean isChecked(int id) {
    return ((CompoundButton) view.findViewById(id)).isChecked();
  }

  private void show(List<BenchmarkRunner.Row> rows) {
    table.removeAllViews();
    for (BenchmarkRunner.Row row : rows) {
      View shown = activity.getLayoutInflater().inflate(R.layout.row_result, table, false);
      int threads = row.setting.threads;
      String kernels = text(row.setting.xnnpack ? R.string.with_xnnpack : R.string.without_xnnpack);
      set(
          shown,
          R.id.row_setting,
          activity
              .getResources()
              .getQuantityString(R.plurals.result_threads, threads, threads, kernels));
      if (row.result == null) {
        set(shown, R.id.row_times, row.failure);
      } else {
        String median = micros(row.result.medianUs);
        String p90 = micros(row.result.p90Us);
        String p99 = micros(row.result.p99Us);
        set(shown, R.id.row_times, text(R.string.result_times, median, p90, p99));
        set(shown, R.id.row_factor, text(R.string.percent, 100 * row.result.realTimeFactor));
      }
      table.addView(shown);
    }
  }

  private static void set(View row, int id, String text) {
    ((TextView) row.findViewById(id)).setText(text);
  }

  private static String micros(double value) {
    return String.format(Locale.getDefault(), "%,.0f", value);
  }

  private void listenToShare(int id, final boolean json) {
    view.findViewById(id)
        .setOnClickListener(
            new View.OnClickListener() {
              @Override
              public void onClick(View clicked) {
                String device = Build.MANUFACTURER + " " + Build.MODEL + ", " + abi();
                share(
                    json
                        ? BenchmarkReport.json(app.model(), device, app.benchmark().rows())
                        : BenchmarkReport.text(app.model(), device, app.benchmark().rows()));
              }
            });
  }

  private static String abi() {
    return Build.SUPPORTED_ABIS.length == 0 ? "" : Build.SUPPORTED_ABIS[0];
  }

  private void share(String content) {
    Intent send =
        new Intent(Intent.ACTION_SEND).setType("text/plain").putExtra(Intent.EXTRA_TEXT, content);
    try {
      activity.startActivity(Intent.createChooser(send, text(R.string.share_with)));
    } catch (ActivityNotFoundException error) {
      Toast.makeText(activity, R.string.no_app, Toast.LENGTH_LONG).show();
    }
  }
}
