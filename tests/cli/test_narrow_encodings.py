"""Output to a terminal or file whose encoding lacks some letters, as on Windows."""

from __future__ import annotations

import io

import pytest

from sidelight.cli import _write_all_letters


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_letters_that_an_encoding_lacks_are_written_out(encoding: str) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    _write_all_letters(stream)
    stream.write("Friedman \u03c7")
    stream.flush()
    assert stream.buffer.getvalue() == b"Friedman \\u03c7"
