"""Moving pictures in and out: containers, timestamps, colour, codecs, segments. The only place that knows PyAV."""
