"""Publishing a generation: runs, merges, segments and filters."""
