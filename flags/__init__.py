"""Every absl flag of the project, in groups; commands define the groups that they need.

Each module has a ``define()``, so that two commands can live in one process, and functions
that turn the parsed values into the library's plain arguments.
"""
