package androidx.test.internal.platform;

/** Stands in for the class of this name, which is on Google's Maven repository only. */
public interface ThreadChecker {
  void checkMainThread();

  void checkNotMainThread();
}
