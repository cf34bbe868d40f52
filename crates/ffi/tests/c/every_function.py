"""Writes a C program that calls every function of raddle.h with pointers and handles that are not in order.

    every_function.py include/raddle.h > every_function.c
    every_function.py include/raddle.h --panics > every_function_hooks.c

Hostile inputs 297 and 298: NULL for every pointer, one at a time and all at once; handles that were never given, were freed, or
are of another kind. The rest of each call's arguments are in order, so that it is this one that is refused. A parameter
whose type is not known here is an error: nobody is passed over.

Hostile input 308, with --panics: a panic in each function is a status, for a library with the feature test-hooks.
"""

import re
import sys

# Of each type of handle: what makes a fresh one, and what frees it where it was not.
HANDLES = {
    "raddle_server_config_t": "fresh_config()",
    "raddle_server_tls_t": "fresh_tls()",
    "raddle_server_t": "fresh_server()",
    "raddle_request_t": "fresh_request()",
    "raddle_client_t": "fresh_client()",
    "raddle_attempt_t": "fresh_attempt()",
    "raddle_reconnect_t": "fresh_reconnect()",
    "raddle_ping_t": "fresh_ping()",
    "raddle_protocol_t": "fresh_protocol()",
    "raddle_protocol_config_t": "fresh_protocol_config()",
}
# Parameters that may be NULL.
OPTIONAL = {
    "raddle_conn_end": {"code", "clean", "buffer", "length"},
    "raddle_conn_traffic": {"received_messages", "received_bytes", "sent_messages", "sent_bytes"},
    "raddle_conn_deflate": {"flags", "server_window_bits", "client_window_bits"},
    "raddle_close": {"reason"},
    "raddle_close_wait": {"reason"},
    "raddle_request_respond": {"content_type"},
    "raddle_request_set_subprotocol": {"name"},
    "raddle_send_many": {"statuses"},
    "raddle_send_packed": {"statuses"},
    "raddle_server_config_listen": {"tls"},
    "raddle_server_config_listen_fd": {"tls"},
    "raddle_server_config_listen_inherited": {"tls"},
    "raddle_server_connections": {"identity"},
    "raddle_connect": {"client"},
    "raddle_attempt_start": {"client"},
    "raddle_reconnect_new": {"client"},
    "raddle_ping_wait": {"microseconds"},
    "raddle_protocol_server": {"config"},
    "raddle_protocol_client": {"config", "key"},
    "raddle_protocol_accept": {"subprotocol"},
    "raddle_protocol_respond": {"content_type"},
    "raddle_protocol_close": {"reason"},
    "raddle_protocol_tick": {"wait_ms"},
    "raddle_protocol_add_keys": {"left"},
}
# Parameters that may be NULL wherever they stand.
OPTIONAL_EVERYWHERE = {"length", "name_length", "value_length", "user"}
# Functions for which NULL is passed over.
FREES = re.compile(r"raddle_\w+_free$")
# What a value that is in order looks like, by type; where the name of the parameter decides, by that.
VALUES = {
    "uint16_t": "1000",
    "uint32_t": "1",
    "uint64_t": "1000",
    "int64_t": "0",
    "int32_t": "0",
    "int": "0",
    "size_t": "8",
}
NAMED = {
    ("uint32_t", "kind"): "RADDLE_BINARY",
    ("uint32_t", "engine"): "RADDLE_ENGINE_POOL",
    ("uint16_t", "port"): "0",
    ("size_t", "index"): "0",
    ("size_t", "bytes"): "1048576",
    ("size_t", "head"): "1024",
    ("size_t", "line"): "1024",
    ("uint16_t", "status"): "404",
}
CALLBACKS = {"raddle_callback_t", "raddle_destroy_t", "raddle_log_callback_t", "raddle_request_callback_t", "raddle_thread_callback_t"}


# What returns no status: numbers, texts, and what the tests of Python try.
NO_STATUS = {
    "raddle_conn_count", "raddle_connect_status", "raddle_last_error", "raddle_recv_object", "raddle_strerror", "raddle_version",
    "raddle_version_string",
}


def functions(header):
    """The prototypes: name, and the parameters with their types."""
    text = re.sub(r"/\*.*?\*/", "", header, flags=re.S)
    text = re.sub(r"//.*", "", text)
    for result, name, parameters in re.findall(r"^(\w[\w ]*[ *]+)(raddle_\w+)\(([^)]*)\);", text, flags=re.M):
        parsed = []
        for parameter in " ".join(parameters.split()).split(", "):
            if parameter == "void":
                continue
            kind, called = re.fullmatch(r"(.*?[ *])(\w+)", parameter).groups()
            parsed.append((re.sub(r"\s*\*", " *", kind).strip(), called))
        yield result.strip(), name, parsed


def handle_of(kind):
    """The type of a handle, where a parameter is one."""
    match = re.fullmatch(r"(?:const )?(raddle_\w+_t) \*", kind)
    return match[1] if match and match[1] in HANDLES else None


def value(kind, called, index):
    """An argument that is in order."""
    if handle := handle_of(kind):
        return HANDLES[handle]
    if kind == "raddle_conn_t":
        return "0" if called == "except" else "fresh_conn()"
    if kind in CALLBACKS:
        return "NULL"
    if kind == "void *":
        return "NULL"
    if kind == "const char *":
        return '"127.0.0.1"'
    if kind.endswith("*"):
        # A place of its own, large and aligned enough for anything.
        plain = kind.replace("const ", "")
        return f"(void *)places[{index}]" if plain else ""
    if (kind, called) in NAMED:
        return NAMED[kind, called]
    if kind in VALUES:
        return VALUES[kind]
    sys.exit(f"every_function.py: no value is known for {kind} {called}")


def unlooked(kind, called, index):
    """An argument for a call that looks at none."""
    return "NULL" if kind.endswith("*") or kind in CALLBACKS else "0"


def main():
    header = open(sys.argv[1]).read()
    tests = []
    panics = "--panics" in sys.argv
    for result, name, parameters in functions(header):
        if result != "raddle_status_t":
            if name not in NO_STATUS:
                sys.exit(f"every_function.py: {name} returns no status: it needs a test of its own, and a place in NO_STATUS")
            continue
        # What panics at once looks at no handle, and a fresh one is made by calls that would panic.
        known = unlooked if panics else value
        plain = [known(kind, called, index) for index, (kind, called) in enumerate(parameters)]
        if panics:
            tests.append(f"    /* {name} */\n    raddle_test_panic(1);")
            tests.append(f'    expect(RADDLE_ERR_INTERNAL, {name}({", ".join(plain)}), "{name}: a panic");')
            continue
        optional = OPTIONAL.get(name, set()) | OPTIONAL_EVERYWHERE
        calls = []

        def call(arguments, expected, what):
            calls.append(f'    expect({expected}, {name}({", ".join(arguments)}), "{name}: {what}");')

        nothing = ["NULL" if kind.endswith("*") or kind in CALLBACKS else "0" for kind, _ in parameters]
        if name not in ("raddle_send_many", "raddle_send_packed", "raddle_check_version", "raddle_log"):
            call(nothing, "RADDLE_OK" if FREES.match(name) and parameters[0][0].endswith("*") else "FAILS", "nothing at all")
        for index, (kind, called) in enumerate(parameters):
            with_this = lambda it: plain[:index] + [it] + plain[index + 1 :]
            if handle := handle_of(kind):
                expected = "RADDLE_ERR_HANDLE"
                if called not in optional:
                    call(with_this("NULL"), "RADDLE_OK" if FREES.match(name) else expected, f"{called} is NULL")
                for forged in ("FORGED_ONE", "FORGED_ALL", "FORGED_RANDOM"):
                    call(with_this(f"({handle} *){forged}"), expected, f"{called} is forged")
                for other in sorted(set(HANDLES) - {handle}):
                    call(with_this(f"(void *){HANDLES[other]}"), expected, f"{called} is a {other}")
                call(with_this(f"freed_{handle}()"), expected, f"{called} was freed")
            elif kind == "raddle_conn_t":
                for forged in ("1", "UINT64_MAX", "(raddle_conn_t)FORGED_RANDOM", "(raddle_conn_t)(uintptr_t)fresh_config()"):
                    call(with_this(forged), "RADDLE_ERR_HANDLE", f"{called} is forged")
                if called != "except":
                    call(with_this("0"), "RADDLE_ERR_HANDLE", f"{called} is 0")
                    call(with_this("ended_conn()"), "RADDLE_ERR_CLOSED", f"{called} has ended")
            elif kind.endswith("*") and called not in optional:
                call(with_this("NULL"), "RADDLE_ERR_ARGUMENT", f"{called} is NULL")
        tests += calls
    print('#include "every_function.h"\n\nint main(void) {\n    set_up();')
    print("\n".join(tests))
    print("    tear_down();\n    return 0;\n}")
    print(f"every_function.py: {len(tests)} calls", file=sys.stderr)


main()
