"""The words that a name of a folder or file is made of."""

from __future__ import annotations

import re
import unicodedata


def words_of(name: str) -> list[str]:
    """`trainImages_01` -> train, images, 01; in small letters and without accents."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", without_accents(name))
    return [word.lower() for word in re.findall(r"[^\W\d_]+|\d+", apart)]


def without_accents(name: str) -> str:
    """Latin letters without their accents; others as they are, in one form of Unicode."""
    apart = unicodedata.normalize("NFKD", name)
    return unicodedata.normalize("NFC", re.sub(r"(?<=[A-Za-z])[\u0300-\u036f]+", "", apart))
