package androidx.test.internal.runner.lifecycle;

import android.app.Activity;
import androidx.test.runner.lifecycle.ActivityLifecycleMonitor;
import androidx.test.runner.lifecycle.Stage;
import java.util.ArrayList;
import java.util.Collection;

/** Stands in for the class of this name, which is on Google's Maven repository only. */
public final class ActivityLifecycleMonitorImpl implements ActivityLifecycleMonitor {
  @Override
  public Collection<Activity> getActivitiesInStage(Stage stage) {
    return new ArrayList<Activity>();
  }

  public void signalLifecycleChange(Stage stage, Activity activity) {}
}
