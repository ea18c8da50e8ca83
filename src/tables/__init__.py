"""From rows in any file to checked, split reviews, and back out again. Nothing here looks at words."""
