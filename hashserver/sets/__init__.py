"""What admins and parties do with hash sets."""
