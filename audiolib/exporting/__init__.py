"""Clips that leave the library: as files with their metadata, as Parquet with the bytes inside, as a playlist."""
