"""From what the user typed to a network: manifest, cache, download, weights files, mixing."""
