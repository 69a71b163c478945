"""Extraction from a user's own documents: read, cut, ask, place in the text, write."""
