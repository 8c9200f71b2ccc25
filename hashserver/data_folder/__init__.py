"""The data folder as a whole: opening, backing up, verifying."""
