"""Scenes, recordings, links and devices: missions on a virtual clock, with the real code of edge and cloud in them."""
