#!/usr/bin/env python3
"""usage: check_deps_test.py CHECK_DEPS COMPILER...

scripts/check-deps on trees of a few lines: each case compiles its own, and says what CIRCLES is.
"""
import contextlib
import importlib.machinery
import importlib.util
import io
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

CHECK_DEPS, *COMPILER = sys.argv[1:]
sys.dont_write_bytecode = True


class CheckDeps(unittest.TestCase):
    def setUp(self):
        self.top = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory())).resolve()
        self.build = self.top / "build/gcc"
        (self.top / "include").mkdir()
        loader = importlib.machinery.SourceFileLoader("check_deps", CHECK_DEPS)
        self.check = importlib.util.module_from_spec(importlib.util.spec_from_loader("check_deps", loader))
        loader.exec_module(self.check)
        self.check.TOP, self.check.CIRCLES = self.top, []
        anything = dict(libc=None, third=None, no_pub=set())
        self.check.RULES = {"src/low": anything, "src/high": anything, "src/high/top": anything}

    def compile(self, sources):
        """Writes src/NAME.c for each name of SOURCES, compiles it and lists the object as meson does."""
        commands = []
        for name, text in sources.items():
            source = self.top / "src" / f"{name}.c"
            output = self.build / "src" / f"{name}.o"
            source.parent.mkdir(parents=True, exist_ok=True)
            output.parent.mkdir(parents=True, exist_ok=True)
            source.write_text(text + "\n")
            subprocess.run([*COMPILER, "-c", "-o", output, source], check=True)
            commands += self.commands(source, output.relative_to(self.build), f"test/unit/{name}.o")
        (self.build / "compile_commands.json").write_text(json.dumps(commands))

    def commands(self, source, *outputs):
        """A test compiles each source once more: that need not have been built."""
        file = os.path.relpath(source, self.build)
        return [dict(directory=str(self.build), file=file, output=str(output)) for output in outputs]

    def run_check(self, *args):
        with contextlib.redirect_stdout(io.StringIO()) as out:
            rc = self.check.main([*args, str(self.build)])
        return rc, out.getvalue()

    def assert_refused(self, *words):
        rc, out = self.run_check()
        self.assertEqual(rc, 1, out)
        self.assertEqual(out.count("\n"), 1, out)
        for word in words:
            self.assertIn(word, out)

    def assert_passes(self):
        self.assertEqual(self.run_check(), (0, ""))

    def compile_circle(self):
        self.compile({
            "high/a": "void b(void); void a(void) { b(); }",
            "high/b": "void c(void); void b(void) { c(); }",
            "high/c": "void a(void), d(void); void c(void) { a(); d(); }",
            "high/d": "void d(void) {}",
        })

    def test_call_of_a_lower_directory_passes(self):
        self.compile({"low/a": "void a(void) {}", "high/b": "void a(void); void b(void) { a(); }"})
        self.assert_passes()

    def test_call_of_a_higher_directory_is_refused(self):
        self.compile({"low/a": "void b(void); void a(void) { b(); }", "high/b": "void b(void) {}"})
        self.assert_refused("src/low/a.c: calls b of src/high/b.c: src/high is above src/low")

    def test_call_of_a_higher_floor_is_refused(self):
        self.compile({"high/a": "void b(void); void a(void) { b(); }", "high/top/b": "void b(void) {}"})
        self.assert_refused("src/high/a.c: calls b of src/high/top/b.c: src/high/top is above src/high")

    def test_data_of_a_higher_directory_is_refused(self):
        self.compile({"low/a": "extern int b; int a(void) { return b; }", "high/b": "int b = 1;"})
        self.assert_refused("src/low/a.c: calls b of src/high/b.c")

    def test_call_through_a_pointer_passes(self):
        self.compile({"low/a": "void a(void (*f)(void)) { f(); }", "high/b": "void a(void (*)(void)); void b(void) { a(b); }"})
        self.assert_passes()

    def test_static_functions_of_one_name_are_no_call(self):
        self.compile({"low/a": "static void b(void) {} void a(void) { b(); }", "high/b": "void b(void) {}"})
        self.assert_passes()

    def test_circle_that_is_not_in_the_table_is_refused(self):
        self.compile_circle()
        self.assert_refused("src/high: 3 files", "a.c b.c c.c (")

    def test_circle_in_the_table_passes(self):
        self.compile_circle()
        self.check.CIRCLES = [("src/high", "a reason", "a.c b.c c.c")]
        self.assert_passes()

    def test_circle_in_the_table_without_a_reason_is_refused(self):
        self.compile_circle()
        self.check.CIRCLES = [("src/high", " ", "a.c b.c c.c")]
        self.assert_refused("src/high: a circle in CIRCLES has no reason: a.c b.c c.c")

    def test_circle_in_the_table_of_another_directory_is_refused(self):
        self.compile_circle()
        self.check.CIRCLES = [("src/low", "a reason", "a.c b.c c.c")]
        rc, out = self.run_check()
        self.assertEqual(rc, 1)
        self.assertIn("src/low: a circle in CIRCLES is not there any more, change it: gone", out)
        self.assertIn("src/high: 3 files", out)

    def test_circle_that_grew_is_refused(self):
        self.compile_circle()
        self.check.CIRCLES = [("src/high", "a reason", "a.c b.c")]
        rc, out = self.run_check()
        self.assertEqual(rc, 1)
        self.assertIn("src/high: 3 files", out)
        self.assertIn("change it: +c.c", out)

    def test_circle_that_shrank_is_refused(self):
        self.compile_circle()
        self.check.CIRCLES = [("src/high", "a reason", "a.c b.c c.c d.c")]
        rc, out = self.run_check()
        self.assertEqual(rc, 1)
        self.assertIn("change it: -d.c", out)

    def test_table_entry_without_a_circle_is_refused(self):
        self.compile({"low/a": "void a(void) {}"})
        self.check.CIRCLES = [("src/low", "a reason", "a.c b.c")]
        self.assert_refused("src/low: a circle in CIRCLES is not there any more, change it: gone")

    def test_calls_of_a_circle_are_printed_with_their_symbols(self):
        self.compile_circle()
        rc, out = self.run_check("--calls", "src/high")
        self.assertEqual((rc, out), (0, "src/high: 3 files\n  a.c -> b.c: b\n  b.c -> c.c: c\n  c.c -> a.c: a\n"))

    def test_no_build_is_refused(self):
        (self.top / "src").mkdir()
        self.assert_refused("nothing is built here", "meson setup")

    def test_source_without_an_object_is_refused(self):
        self.compile({"low/a": "void a(void) {}"})
        (self.top / "src/low/b.c").write_text("void b(void) {}\n")
        self.assert_refused("src/low/b.c:", "has no object of 1 sources")

    def test_source_newer_than_its_object_is_refused(self):
        self.compile({"low/a": "void a(void) {}"})
        os.utime(self.build / "src/low/a.o", (0, 0))
        self.assert_refused("src/low/a.c:", "has no object of 1 sources as they are")

    def test_object_without_symbols_is_refused(self):
        self.compile({"low/a": "typedef int a;"})
        self.assert_refused("src/low/a.c: its object shows no symbols")

    def compile_with_everything(self, name):
        self.check.RULES["src/ctl"] = self.check.RULES["src/low"]
        (self.top / "src/ctl").mkdir(parents=True)
        (self.top / "src/ctl/ctl.h").write_text("struct ctl;\n")
        self.compile({f"ctl/{name}": '#include "ctl.h"\nvoid a(void) {}'})

    def test_handler_that_sees_everything_is_refused(self):
        self.compile_with_everything("rpc_port")
        self.assert_refused("src/ctl/rpc_port.c:1: ctl.h: a handler has its noun's part of it")

    def test_file_of_no_handlers_may_see_everything(self):
        self.compile_with_everything("peers")
        self.assertEqual(self.run_check()[0], 0)

    def test_directory_without_a_row_is_refused(self):
        self.compile({"elsewhere/a": "void a(void) {}"})
        self.assert_refused("src/elsewhere/a.c: src/elsewhere has no row in RULES")


if __name__ == "__main__":
    case = os.environ.get("RTVS_CASE")
    unittest.main(argv=["check_deps_test.py", "-v"] + (["-k", f"*.test_{case}"] if case else []))
