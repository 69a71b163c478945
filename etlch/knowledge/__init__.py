"""The knowledge base: topics, what is composed of them, what they must not share between splits, and the data card."""
