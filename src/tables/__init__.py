"""From tables in any format to checked and split reviews, and back to tables. Nothing here looks at words."""
