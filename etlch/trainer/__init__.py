"""A LlamaFactory run: its config, the check before it, its start, what it costs."""
