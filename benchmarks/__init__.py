"""Benchmarks: achannels beside a bare ASGI application and Channels 4.3, in one run."""
