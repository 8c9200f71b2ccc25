"""Hashes of files: digests and perceptual hashes."""
