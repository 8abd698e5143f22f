"""Keeps workers alive, bounded and put away: pure policy beside the modules that start processes."""
