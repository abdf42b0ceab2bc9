"""Enrich a pandas DataFrame with the web."""
