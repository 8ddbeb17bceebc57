"""Split mode without I/O: who has which event of a socket, and what is to be done about it.

`sequencer` is the side of the interface, `inbox` that of the home; `wire` is what they tell each
other.
"""

__all__: list[str] = []
