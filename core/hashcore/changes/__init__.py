"""Publishing a generation: batches, runs, merges, segments and filters."""
