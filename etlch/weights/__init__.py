"""Pretrained weights out of a pinned package, a hub or a local file, made into a folder that LlamaFactory trains."""
