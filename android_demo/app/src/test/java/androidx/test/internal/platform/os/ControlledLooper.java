package androidx.test.internal.platform.os;

/** Stands in for the class of this name, which is on Google's Maven repository only. */
public interface ControlledLooper {}
