"""Training of the demo models on rendered scenes: `make train`."""
