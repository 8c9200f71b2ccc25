"""Arrays in the map and in memory: columns, gathering, ordering, checksums."""
