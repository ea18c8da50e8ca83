"""The networks and their training. Nothing here reads a user's table or writes a report."""
