package androidx.lifecycle;

/** A stand-in for Android's class, with what docs/how-to/android.md calls: it is compiled, never run. */
public abstract class LiveData<T> { }
