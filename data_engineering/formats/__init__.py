"""Annotations in other people's files, read into `quadrat.drawn` and written from it: one file here for each format."""
