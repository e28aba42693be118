"""Still pictures in and out; the only place that knows BGR, bit depths and file formats."""
