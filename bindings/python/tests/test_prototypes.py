"""The table of C functions, the numbers and the message structure against include/raddle.h."""

import ctypes
import re
import unittest
from pathlib import Path
from typing import Dict, List, Tuple

from raddle import _constants, _native, _prototypes

HEADER = Path(__file__).resolve().parents[3] / "include" / "raddle.h"


class EveryFunction(unittest.TestCase):
    def test_of_the_header_is_in_the_table_and_the_other_way_round(self) -> None:
        self.assertEqual(sorted(declared()), sorted(_prototypes.PROTOTYPES))

    def test_returns_and_takes_what_the_header_says(self) -> None:
        # Hostile input 333.
        for name, (result, arguments) in declared().items():
            with self.subTest(name):
                expected = [c_type(result)] + [c_type(argument) for argument in arguments]
                self.assertEqual(expected, list(_prototypes.PROTOTYPES[name]))

    def test_is_loaded_with_its_prototype(self) -> None:
        for name, (result, *arguments) in _prototypes.PROTOTYPES.items():
            function = getattr(_native.abi, name)
            self.assertIs(function.restype, result, name)
            self.assertEqual(list(function.argtypes), arguments, name)


class EveryNumber(unittest.TestCase):
    def test_is_that_of_the_header(self) -> None:
        text = HEADER.read_text()
        numbers = dict(re.findall(r"^#define RADDLE_(\w+) (\w+)$", text, re.M))
        numbers.update(re.findall(r"^    RADDLE_(\w+) = (-?\d+),$", text, re.M))
        expected = {name: 2**64 - 1 if value == "UINT64_MAX" else int(value) for name, value in numbers.items()}
        ours = {name: value for name, value in vars(_constants).items() if name.isupper()}
        self.assertGreater(len(ours), 90)
        self.assertEqual(expected, ours)


class TheMessage(unittest.TestCase):
    def test_has_the_members_of_the_header_in_their_order(self) -> None:
        body = re.search(r"typedef struct \{([^}]*)\} raddle_message_t;", without_comments(HEADER.read_text()))
        assert body
        members = [member.strip() for member in body.group(1).split(";") if member.strip()]
        expected = [(re.findall(r"\w+", member)[-1], c_type(member)) for member in members]
        self.assertEqual(expected, list(_prototypes.Message._fields_))
        self.assertEqual(32, ctypes.sizeof(_prototypes.Message))


class TheInterpreter(unittest.TestCase):
    def test_has_the_members_of_the_header_in_their_order(self) -> None:
        body = re.search(r"typedef struct \{([^}]*)\} raddle_interpreter_t;", without_comments(HEADER.read_text()))
        assert body
        members = re.findall(r"\(\*(\w+)\)", body.group(1))
        self.assertEqual(len(members), body.group(1).count(";"))
        self.assertEqual([(member, ctypes.c_void_p) for member in members], list(_prototypes.Interpreter._fields_))


def declared() -> Dict[str, Tuple[str, List[str]]]:
    """The functions of the header: what each returns, and its parameters."""
    text = without_comments(HEADER.read_text())
    found = re.findall(r"^((?:const )?\w+ \*?)(raddle_\w+)\(([^;{]*?)\);", text, re.M)
    functions = {name: (result + "result", arguments.split(",")) for result, name, arguments in found}
    assert len(functions) == len(re.findall(r"^[^/\n(]*\braddle_\w+\([^;{]*\);", text, re.M))
    return {
        name: (result, [] if arguments == ["void"] else [" ".join(one.split()) for one in arguments])
        for name, (result, arguments) in functions.items()
    }


def without_comments(text: str) -> str:
    return re.sub(r"//[^\n]*|/\*.*?\*/", "", text, flags=re.S)


def c_type(declaration: str) -> type:
    """The ctypes type of a parameter, a member or a result, as "const uint8_t *data"."""
    before, name = re.match(r"\s*(.*?)(\w+)\s*$", declaration, re.S).groups()  # type: ignore[union-attr]
    kind = " ".join(before.split())
    if kind == "const char *":
        return ctypes.c_char_p
    if kind.endswith("*") or kind.endswith("_callback_t") or kind == "raddle_destroy_t":
        return ctypes.c_void_p
    return {
        "raddle_status_t": ctypes.c_int32,
        "raddle_conn_t": ctypes.c_uint64,
        "size_t": ctypes.c_size_t,
        "int": ctypes.c_int,
        "int32_t": ctypes.c_int32,
        "int64_t": ctypes.c_int64,
        "uint16_t": ctypes.c_uint16,
        "uint32_t": ctypes.c_uint32,
        "uint64_t": ctypes.c_uint64,
    }[kind]


if __name__ == "__main__":
    unittest.main()
