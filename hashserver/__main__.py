"""`python -m hashserver`, for machines where the command is not on the path."""

from hashserver.cli import main

main()
