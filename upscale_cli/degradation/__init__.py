"""From HR to LR: what training shows a network as its input."""
