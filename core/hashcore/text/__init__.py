"""Hashes written as text: hexadecimal and base64 digits, and JSON that holds them."""
