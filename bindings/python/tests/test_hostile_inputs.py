"""That each hostile input to the Python package has its test: its number stands where it is tested."""

from __future__ import annotations

import re
import unittest
from pathlib import Path


class EveryInput(unittest.TestCase):
    def test_of_group_t_has_its_test(self) -> None:
        here = Path(__file__).resolve()
        plan = (here.parents[3] / "docs" / "hostile-inputs.md").read_text()
        group = plan[plan.index("## T. Python binding") : plan.index("## U. ")]
        numbers = {int(number) for number in re.findall(r"^\| (\d+) \|", group, flags=re.M)}
        self.assertEqual(numbers, set(range(318, 335)))
        tested: set[int] = set()
        for file in here.parent.glob("test_*.py"):
            for named in re.findall(r"Hostile inputs? ((?:\d+(?:, )?)+)", file.read_text()):
                tested |= {int(number) for number in re.findall(r"\d+", named)}
        self.assertEqual(sorted(numbers - tested), [])


if __name__ == "__main__":
    unittest.main()
