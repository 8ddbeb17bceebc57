"""Commands of Channels 1.x."""
