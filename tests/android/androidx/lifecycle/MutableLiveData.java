package androidx.lifecycle;

/** A stand-in for Android's class, with what docs/how-to/android.md calls: it is compiled, never run. */
public class MutableLiveData<T> extends LiveData<T> {
    public void postValue(T value) { }
}
