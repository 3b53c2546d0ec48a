package androidx.test.runner.lifecycle;

import android.app.Activity;
import java.util.Collection;

/** Stands in for the class of this name, which is on Google's Maven repository only. */
public interface ActivityLifecycleMonitor {
  Collection<Activity> getActivitiesInStage(Stage stage);
}
