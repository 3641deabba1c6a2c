"""Audio from elsewhere, taken into the library: found, read, recognised, stored, kept watch for.

`values` has what is asked for and what comes of each file; `run` puts the others together.
"""
