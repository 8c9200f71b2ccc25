"""Perceptual hashes of pictures, from their pixels."""
