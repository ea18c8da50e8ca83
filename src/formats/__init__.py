"""Files in any format, local or at a URL, as records. Nothing here knows what a review is."""
