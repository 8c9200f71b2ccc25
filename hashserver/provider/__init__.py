"""What runs at a provider: hashing files, scanning storages, checking listings."""
