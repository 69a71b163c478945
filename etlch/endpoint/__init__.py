"""Talking to an OpenAI-compatible endpoint: retries, a budget that is never exceeded, a journal of what was paid for."""
