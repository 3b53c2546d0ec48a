package androidx.test.runner.lifecycle;

/** Stands in for the class of this name, which is on Google's Maven repository only. */
public final class ActivityLifecycleMonitorRegistry {
  private static ActivityLifecycleMonitor monitor;

  private ActivityLifecycleMonitorRegistry() {}

  public static void registerInstance(ActivityLifecycleMonitor instance) {
    monitor = instance;
  }

  public static ActivityLifecycleMonitor getInstance() {
    return monitor;
  }
}
