"""The MF-NER experiment: twelve output formats, eight corpora, mixes of formats. See docs/mfner.md."""
