package androidx.test.runner.lifecycle;

/** Stands in for the class of this name, which is on Google's Maven repository only. */
public final class ApplicationLifecycleMonitorRegistry {
  private ApplicationLifecycleMonitorRegistry() {}

  public static void registerInstance(ApplicationLifecycleMonitor instance) {}
}
