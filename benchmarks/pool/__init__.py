"""Drawn images given out as a folder."""
