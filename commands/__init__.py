"""What people call by hand, one script a command: python -m commands.<name>. Stages never import from here."""
