"""returnclock enforces the deadlines of a marketplace's after-sales."""

__version__ = "0.1.0"
