"""etlch: structured information extraction with small language models, trained by LlamaFactory."""

__version__ = "0.1.0"
