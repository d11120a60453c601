"""Ground floor of the project: what every completion method shares; knows no method."""
