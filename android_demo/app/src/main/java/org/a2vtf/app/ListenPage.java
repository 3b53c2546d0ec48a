package org.a2vtf.app;

import android.os.Process;
import android.os.SystemClock;
import android.widget.TextView;

/** The input of the model and its embeddings, live. */
final class ListenPage extends Page {
  private static final long STATS_MILLIS = 500;

  private final RecognitionPanel recognised;
  private final SpectrogramView spectrogram;
  private final EmbeddingView embedding;
  private final NoveltyView novelty;
  private final MapView map;
  private final TextView modelShare;
  private final TextView cpuShare;
  private final TextView overruns;
  private long statsAt;
  private long cpuAt;

  ListenPage(MainActivity activity) {
    super(activity, R.id.page_listen);
    recognised = new RecognitionPanel(view);
    spectrogram = view.findViewById(R.id.spectrogram);
    embedding = view.findViewById(R.id.embedding);
    novelty = view.findViewById(R.id.novelty);
    map = view.findViewById(R.id.map);
    modelShare = view.findViewById(R.id.stat_model);
    cpuShare = view.findViewById(R.id.stat_cpu);
    overruns = view.findViewById(R.id.stat_overruns);
  }

  @Override
  boolean listens() {
    return true;
  }

  @Override
  void refresh() {
    map.showTaught(app.controller().taughtPoints());
    tick();
  }

  @Override
  void tick() {
    Controller controller = app.controller();
    recognised.show(controller);
    History history = controller.history();
    spectrogram.show(history);
    embedding.show(history);
    novelty.show(history);
    map.show(history);
    if (controller.state() == Controller.State.LISTENING) {
      showStats(controller);
    }
  }

  private void showStats(Controller controller) {
    long now = SystemClock.elapsedRealtime();
    if (now - statsAt < STATS_MILLIS) {
      return;
    }
    long cpu = Process.getElapsedCpuTime();
    if (statsAt > 0 && cpu > cpuAt) {
      cpuShare.setText(text(R.string.percent, 100.0 * (cpu - cpuAt) / (now - statsAt)));
    }
    statsAt = now;
    cpuAt = cpu;
    if (controller.samples() > 0) {
      modelShare.setText(text(R.string.factor, controller.realTimeFactor()));
    }
    overruns.setText(String.valueOf(controller.overruns()));
  }
}
