"""That each hostile input to the Python package has its test: a comment with its number stands in a test that runs."""

from __future__ import annotations

import ast
import io
import re
import tokenize
import unittest
from pathlib import Path


def marked(source: str) -> set[int]:
    """The numbers that tests of ``source`` are marked with. Where no test runs, a mark is a slip."""
    spans = [
        range(node.lineno, (node.end_lineno or node.lineno) + 1)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        if node.name.startswith("test_") and not any("skip" in ast.dump(decorator) for decorator in node.decorator_list)
    ]
    numbers: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        mark = re.match(r"# Hostile inputs? ((?:\d+(?:, | and )?)+)", token.string)
        if token.type == tokenize.COMMENT and mark:
            if not any(token.start[0] in span for span in spans):
                raise ValueError(f"the mark of no test: {token.string}")
            numbers |= {int(number) for number in re.findall(r"\d+", mark[1])}
    return numbers


class EveryInput(unittest.TestCase):
    def test_of_group_t_has_its_test(self) -> None:
        here = Path(__file__).resolve()
        plan = (here.parents[3] / "docs" / "hostile-inputs.md").read_text()
        group = plan[plan.index("## T. Python binding") : plan.index("## U. ")]
        numbers = {int(number) for number in re.findall(r"^\| (\d+) \|", group, flags=re.M)}
        self.assertEqual(numbers, set(range(318, 335)))
        tested: set[int] = set()
        for file in here.parent.glob("test_*.py"):
            tested |= marked(file.read_text())
        self.assertEqual(sorted(numbers - tested), [])

    def test_counts_where_its_number_stands_in_a_test(self) -> None:
        mark, test = "# Hostile inputs 7 and 8: and not 9.", "    def test_it(self):\n        {}pass\n"
        inside = test.format(f"{mark}\n        ")
        self.assertEqual(marked(f"class A:\n{inside}"), {7, 8})
        self.assertEqual(marked(f'"""{mark}"""\nclass A:\n{test.format("")}'), set())
        for slip in (
            f"{mark}\nclass A:\n{test.format('')}",
            f"class A:\n    @unittest.skip('why')\n{inside}",
            f"class A:\n{inside.replace('test_it', 'other')}",
        ):
            with self.subTest(slip), self.assertRaises(ValueError):
                marked(slip)


if __name__ == "__main__":
    unittest.main()
