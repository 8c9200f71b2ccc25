"""What was checked and hit: figures, and the pages that show them."""
