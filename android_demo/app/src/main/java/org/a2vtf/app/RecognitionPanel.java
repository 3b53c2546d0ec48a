package org.a2vtf.app;

import android.view.View;
import android.widget.TextView;

/** Shows which taught sound is recognised. */
final class RecognitionPanel {
  private final TextView label;
  private final TextView detail;

  RecognitionPanel(View page) {
    label = page.findViewById(R.id.recognised);
    detail = page.findViewById(R.id.recognised_detail);
  }

  void show(Controller controller) {
    Controller.Recognised recognised = controller.recognised();
    if (controller.state() != Controller.State.LISTENING) {
      set(text(R.string.recognised_off), "");
    } else if (recognised != null && recognised.unknown) {
      set(
          text(R.string.recognised_unknown),
          text(R.string.recognised_nearest, recognised.label, recognised.distance));
    } else if (recognised != null) {
      set(recognised.label, text(R.string.recognised_distance, recognised.distance));
    } else if (controller.hasTaught()) {
      set(text(R.string.recognised_wait), "");
    } else {
      set(text(R.string.recognised_nothing_taught), text(R.string.recognised_nothing_taught_hint));
    }
  }

  private String text(int id, Object... arguments) {
    return label.getContext().getString(id, arguments);
  }

  /** Sets a label only if it changes, because each change is read aloud. */
  private void set(String labelText, String detailText) {
    if (!labelText.contentEquals(label.getText())) {
      label.setText(labelText);
    }
    if (!detailText.contentEquals(detail.getText())) {
      detail.setText(detailText);
    }
  }
}
