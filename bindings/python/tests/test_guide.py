"""The examples of docs/python.md give what stands there."""

from __future__ import annotations

import doctest
import os
import re
import tempfile
import unittest
from pathlib import Path

from test_tls import certificate

GUIDE = Path(__file__).resolve().parents[3] / "docs" / "python.md"


class TheGuide(unittest.TestCase):
    def setUp(self) -> None:
        # With the certificate that the guide shows.
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        certificate(Path(directory.name), "localhost")
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir(directory.name)

    def test_tells_what_happens(self) -> None:
        text = GUIDE.read_text()
        blocks = re.findall(r"^```python\n(.*?)^```$", text, re.M | re.S)
        self.assertGreater(len(blocks), 15)
        # One session: what a block defines, the next may use.
        session = doctest.DocTestParser().get_doctest("\n".join(blocks), {}, "docs/python.md", str(GUIDE), 0)
        runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
        runner.run(session)
        result = runner.summarize()
        self.assertEqual((result.failed, result.attempted), (0, len(session.examples)))

    def test_is_not_the_only_place_with_examples(self) -> None:
        import raddle.datastructures

        result = doctest.testmod(raddle.datastructures)
        self.assertEqual((result.failed, result.attempted), (0, 3))


if __name__ == "__main__":
    unittest.main()
