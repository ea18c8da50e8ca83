"""Commands to run by hand, one module each: python -m commands.<name>. Stages never import from here."""
