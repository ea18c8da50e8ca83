"""What every room uses: parameters, files, seeds, errors, processes. Nothing here knows about texts or models."""
