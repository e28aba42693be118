"""Zero-shot super-resolution: a network trained on the picture itself, for a known blur kernel."""
