"""Records and task cards -> the rows that LlamaFactory trains on."""
