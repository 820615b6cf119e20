#!/usr/bin/env python3
"""usage: check_tokens_test.py CHECK_TOKENS

What scripts/check-tokens says of port types, on trees of a few lines.
"""
import importlib.machinery
import importlib.util
import pathlib
import sys
import tempfile
import unittest

CHECK_TOKENS = sys.argv[1]
sys.dont_write_bytecode = True

TABLE = """#define PORT_TYPES(X, arg) \\
\tX(arg, VHOST,  vhost,  PORT_IS_GUEST) \\
\tX(arg, ETHDEV, ethdev, PORT_IS_DEVICE)
enum { DP_PORT_VHOST, DP_PORT_ETHDEV };
"""


class PortTypes(unittest.TestCase):
    def setUp(self):
        self.top = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory())).resolve()
        loader = importlib.machinery.SourceFileLoader("check_tokens", CHECK_TOKENS)
        self.check = importlib.util.module_from_spec(importlib.util.spec_from_loader("check_tokens", loader))
        loader.exec_module(self.check)
        self.check.TOP = self.top
        self.write("include/rtvs/port_traits.h", TABLE)

    def write(self, name, text):
        path = self.top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def problems(self):
        found = []
        self.check.check_port_types(found)
        return found

    def test_the_table_and_a_types_own_file_name_it(self):
        self.write("src/dp/house/port_vhost.c", "const struct port_type port_vhost_type;\nint t = DP_PORT_VHOST;\n")
        self.write("src/ctl/model.c", "bool is = port_has(cfg->type, PORT_IS_GUEST); // as DP_PORT_VHOST\n")
        self.assertEqual(self.problems(), [])

    def test_a_question_for_a_type_is_refused(self):
        self.write("src/ctl/model.c", "\nbool is = cfg->type == DP_PORT_VHOST;\n")
        self.assertEqual(self.problems(), ["src/ctl/model.c:2: DP_PORT_VHOST: ask for a trait of include/rtvs/port_traits.h"])

    def test_another_types_file_and_a_table_of_functions_are_refused(self):
        self.write("src/dp/house/port_vhost.c", "int t = DP_PORT_ETHDEV;\n")
        self.write("src/dp/house/stats.c", "bool is = port->type == &port_vhost_type;\n")
        self.assertEqual([p.split(": ")[1] for p in self.problems()], ["DP_PORT_ETHDEV", "port_vhost_type"])

    def test_a_table_that_cannot_be_read_is_refused(self):
        self.write("include/rtvs/port_traits.h", "enum { DP_PORT_VHOST };\n")
        self.assertEqual(self.problems(), ["include/rtvs/port_traits.h: no rows of PORT_TYPES are found"])


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
