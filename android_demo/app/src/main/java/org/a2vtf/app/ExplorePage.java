package org.a2vtf.app;

import android.view.View;
import android.widget.Button;
import android.widget.SeekBar;
import android.widget.TextView;
import java.util.List;
import org.a2vtf.core.LogMel;

/** Holds the last seconds of sound, and shows what the parts of a model say about two moments. */
final class ExplorePage extends Page {
  private static final int MOST_LABELS = 3;
  private static final int KEY_STEP = 10; // frames, 0.1 s

  private final Explorer explorer;
  private final TextView hint;
  private final SpectrogramView live;
  private final ExploreView picture;
  private final View marks;
  private final TextView firstName;
  private final TextView secondName;
  private final SeekBar first;
  private final SeekBar second;
  private final Button hold;
  private final TextView labels;
  private final TextView gap;
  private final TextView expected;
  private final View buttons;
  private final Button playExpected;
  private final TextView message;
  private boolean showing; // the bars are moved by this page, not by the user

  ExplorePage(MainActivity activity) {
    super(activity, R.id.page_explore);
    explorer = app.explorer();
    hint = view.findViewById(R.id.explore_hint);
    live = view.findViewById(R.id.explore_live);
    picture = view.findViewById(R.id.explore_picture);
    marks = view.findViewById(R.id.explore_marks);
    firstName = view.findViewById(R.id.moment_a_name);
    secondName = view.findViewById(R.id.moment_b_name);
    first = view.findViewById(R.id.moment_a);
    second = view.findViewById(R.id.moment_b);
    hold = view.findViewById(R.id.explore_hold);
    labels = view.findViewById(R.id.explore_labels);
    gap = view.findViewById(R.id.explore_gap);
    expected = view.findViewById(R.id.explore_expected);
    buttons = view.findViewById(R.id.explore_buttons);
    playExpected = view.findViewById(R.id.play_expected);
    message = view.findViewById(R.id.explore_message);
    listenToMarks();
    listenToButtons();
  }

  @Override
  boolean listens() {
    return explorer.recording() == null;
  }

  @Override
  void leave() {
    app.player().stop();
  }

  @Override
  void refresh() {
    explorer.prepare();
    short[] recording = explorer.recording();
    Explorer.Findings findings = explorer.findings();
    boolean held = recording != null;
    live.setVisibility(held ? View.GONE : View.VISIBLE);
    picture.setVisibility(held ? View.VISIBLE : View.GONE);
    marks.setVisibility(held ? View.VISIBLE : View.GONE);
    hold.setText(held ? R.string.explore_release : R.string.explore_hold);
    hold.setEnabled(held || app.controller().state() == Controller.State.LISTENING);
    if (held) {
      hint.setText(R.string.explore_held_hint);
      showMarks(recording);
      picture.show(recording, explorer.first(), explorer.second(), findings);
    }
    set(labels, labelsText(held, findings));
    set(gap, gapText(held, findings));
    set(expected, expectedText(held, findings));
    buttons.setVisibility(held && findings.expected != null ? View.VISIBLE : View.GONE);
    playExpected.setEnabled(findings.sound != null);
    String said = app.modelMessage();
    message.setVisibility(said == null ? View.GONE : View.VISIBLE);
    set(message, said == null ? "" : said);
    tick();
  }

  @Override
  void tick() {
    if (explorer.recording() == null) {
      live.show(app.controller().history());
    }
  }

  // Text ------------------------------------------------------------------------------------------

  private String labelsText(boolean held, Explorer.Findings findings) {
    String missing = missing(PartLibrary.CLASSIFIER, R.string.explore_no_classifier, held);
    if (missing != null) {
      return missing;
    }
    List<Explorer.Label> found = findings.labels;
    if (found == null) {
      return unknown(findings);
    }
    StringBuilder lines = new StringBuilder();
    for (Explorer.Label label : found.subList(0, Math.min(MOST_LABELS, found.size()))) {
      lines.append(lines.length() == 0 ? "" : "\n");
      lines.append(text(R.string.explore_label, label.name, label.score));
    }
    return lines.toString();
  }

  private String gapText(boolean held, Explorer.Findings findings) {
    String missing = missing(PartLibrary.GAP, R.string.explore_no_gap, held);
    if (missing != null) {
      return missing;
    }
    if (findings.seconds == null) {
      return unknown(findings);
    }
    double apart = seconds(Math.abs(explorer.first() - explorer.second()));
    return text(R.string.explore_gap, findings.seconds, apart);
  }

  private String expectedText(boolean held, Explorer.Findings findings) {
    String missing = missing(PartLibrary.RECONSTRUCT, R.string.explore_no_reconstruct, held);
    if (missing != null) {
      return missing;
    }
    if (findings.failure != null) {
      return text(R.string.explore_failed, findings.failure);
    }
    if (findings.expected != null) {
      return text(how(findings.expected)) + "\n" + errors(findings.expected);
    }
    int[] range = findings.range;
    if (range == null) {
      return text(R.string.explore_computing);
    }
    return range[0] <= range[1]
        ? text(R.string.explore_outside, seconds(range[0]), seconds(range[1]))
        : text(R.string.explore_short, seconds(range[0] - range[1] + explorer.recording().length));
  }

  private static int how(Expectation expected) {
    if (expected.starts.length > 1) {
      return R.string.explore_around;
    }
    return expected.fromItself ? R.string.explore_itself : R.string.explore_muted;
  }

  private String errors(Expectation expected) {
    StringBuilder errors = new StringBuilder();
    for (double error : expected.errors) {
      errors.append(errors.length() == 0 ? "" : ", ").append(text(R.string.explore_error, error));
    }
    return text(R.string.explore_errors, errors);
  }

  /** What is said without a file or a recording; null if there are both. */
  private String missing(String part, int without, boolean held) {
    if (explorer.name(part) == null) {
      return explorer.isBusy() ? text(R.string.explore_computing) : text(without);
    }
    return held ? null : text(R.string.explore_ready, explorer.name(part));
  }

  private String unknown(Explorer.Findings findings) {
    return text(
        findings.logMel == null ? R.string.explore_computing : R.string.explore_too_early);
  }

  private static double seconds(int samples) {
    return samples / (double) LogMel.SAMPLE_RATE;
  }

  /** Sets a text only if it changes, because each change is read aloud. */
  private static void set(TextView where, String text) {
    if (!text.contentEquals(where.getText())) {
      where.setText(text);
    }
  }

  // Marks -----------------------------------------------------------------------------------------

  private void showMarks(short[] recording) {
    showing = true;
    showMark(first, firstName, R.string.moment_a_at, explorer.first(), recording.length);
    showMark(second, secondName, R.string.moment_b_at, explorer.second(), recording.length);
    showing = false;
  }

  private void showMark(SeekBar bar, TextView name, int text, int start, int length) {
    bar.setMax((length - Explorer.SPAN) / LogMel.HOP);
    bar.setKeyProgressIncrement(KEY_STEP);
    bar.setProgress(start / LogMel.HOP);
    String said = text(text, seconds(start));
    bar.setContentDescription(said);
    set(name, said);
  }

  private void listenToMarks() {
    SeekBar.OnSeekBarChangeListener moved =
        new SeekBar.OnSeekBarChangeListener() {
          @Override
          public void onProgressChanged(SeekBar bar, int progress, boolean fromUser) {
            if (!showing) {
              mark(first.getProgress() * LogMel.HOP, second.getProgress() * LogMel.HOP);
            }
          }

          @Override
          public void onStartTrackingTouch(SeekBar bar) {}

          @Override
          public void onStopTrackingTouch(SeekBar bar) {}
        };
    first.setOnSeekBarChangeListener(moved);
    second.setOnSeekBarChangeListener(moved);
    picture.setListener(
        new ExploreView.Listener() {
          @Override
          public void onMarked(int first, int second) {
            mark(first, second);
          }
        });
  }

  private void mark(int firstStart, int secondStart) {
    app.player().stop();
    explorer.mark(firstStart, secondStart);
    refresh();
  }

  // Buttons ---------------------------------------------------------------------------------------

  private void listenToButtons() {
    hold.setOnClickListener(
        new View.OnClickListener() {
          @Override
          public void onClick(View clicked) {
            holdOrRelease();
          }
        });
    view.findViewById(R.id.explore_open)
        .setOnClickListener(
            new View.OnClickListener() {
              @Override
              public void onClick(View clicked) {
                activity.chooseModel();
              }
            });
    view.findViewById(R.id.play_recorded)
        .setOnClickListener(
            new View.OnClickListener() {
              @Override
              public void onClick(View clicked) {
                play(explorer.recording());
              }
            });
    view.findViewById(R.id.play_muted)
        .setOnClickListener(
            new View.OnClickListener() {
              @Override
              public void onClick(View clicked) {
                Expectation expectation = explorer.findings().expected;
                play(expectation == null ? null : expectation.silenced());
              }
            });
    playExpected.setOnClickListener(
        new View.OnClickListener() {
          @Override
          public void onClick(View clicked) {
            play(explorer.findings().sound);
          }
        });
  }

  private void holdOrRelease() {
    app.player().stop();
    if (explorer.recording() != null) {
      explorer.release();
      hint.setText(R.string.explore_hint);
    } else if (!explorer.hold(app.controller().recentSound())) {
      hint.setText(R.string.explore_hold_short);
    }
    activity.listensChanged();
  }

  private void play(short[] sound) {
    if (sound != null) {
      app.player().play(sound);
    }
  }
}
