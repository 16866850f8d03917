"""humwatch: unsupervised anomalous sound detection for machines."""

__version__ = "0.1.0"
