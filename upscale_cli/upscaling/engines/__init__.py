"""Where jobs run: each engine does the same jobs in another way."""
