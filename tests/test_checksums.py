"""The checksum of a file is SHA-256's."""

import pytest

from etlch.checksums import of_file
from etlch.errors import EtlchError


def test_the_standards_example(tmp_path):
    """FIPS 180-4: the digest of `abc`."""
    file = tmp_path / "abc"
    file.write_bytes(b"abc")
    assert of_file(file) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(EtlchError, match=r"none: cannot be read \(No such file"):
        of_file(tmp_path / "none")
