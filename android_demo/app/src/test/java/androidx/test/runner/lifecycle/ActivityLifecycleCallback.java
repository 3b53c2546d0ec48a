package androidx.test.runner.lifecycle;

/** Stands in for the class of this name, which is on Google's Maven repository only. */
public interface ActivityLifecycleCallback {}
