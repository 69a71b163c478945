"""etlch: structured information extraction with small language models, trained by LlamaFactory."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from etlch.extract.extractor import Extractor

__all__ = ["Extractor"]
__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    """`from etlch import Extractor` without a second's wait for those who only want the version."""
    if name == "Extractor":
        from etlch.extract.extractor import Extractor

        return Extractor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
