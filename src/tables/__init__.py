"""From records to checked and split reviews, and from reviews back to tables. Nothing here looks at words."""
