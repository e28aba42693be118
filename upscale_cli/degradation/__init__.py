"""From a sharp picture to a damaged one: what training shows to a network as its input."""
