"""The networks and how they are trained. Nothing here reads a table or writes a report."""
