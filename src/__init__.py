"""The library behind stages/ and commands/. A review walks through its rooms in this order, and imports never run back:

core, corpus, tables, text, evaluation, learning, serving.
"""
