"""What can go wrong in a measurement."""


class MeasurementError(Exception):
    """A peer did not start, answered wrongly or lost something; its row says so."""
