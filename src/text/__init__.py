"""From texts to words to ids. Nothing here reads a user's table or trains a network."""
