"""How close a result comes to HR, or how natural it looks: the measures of ``upscale eval``, by name."""
