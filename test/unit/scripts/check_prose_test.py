#!/usr/bin/env python3
"""usage: check_prose_test.py CHECK_PROSE

scripts/check-prose on trees of a few lines, at the limit and one column beyond it.
"""
import contextlib
import importlib.machinery
import importlib.util
import io
import pathlib
import sys
import tempfile
import unittest

CHECK_PROSE = sys.argv[1]
sys.dont_write_bytecode = True


def prose(columns, begin=""):
    """A line of words that ends at this column."""
    return (begin + "word " * columns)[:columns - 1] + "."


class CheckProse(unittest.TestCase):
    def setUp(self):
        self.top = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory())).resolve()
        loader = importlib.machinery.SourceFileLoader("check_prose", CHECK_PROSE)
        self.check = importlib.util.module_from_spec(importlib.util.spec_from_loader("check_prose", loader))
        loader.exec_module(self.check)
        self.check.TOP, self.check.LATER, self.check.GENERATED = self.top, set(), set()

    def write(self, name, *lines):
        path = self.top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(lines) + "\n")

    def run_check(self):
        with contextlib.redirect_stdout(io.StringIO()) as out:
            rc = self.check.main()
        self.assertEqual(rc, 1 if out.getvalue() else 0)
        return [line.split(": ")[0] for line in out.getvalue().splitlines()]

    def test_document_ends_at_the_limit(self):
        self.write("docs/a.md", prose(100), "", prose(101), "- " + prose(98), "- " + prose(99))
        self.write("README.md", prose(101))
        self.assertEqual(self.run_check(), ["README.md:1", "docs/a.md:3", "docs/a.md:5"])

    def test_commands_tables_and_one_long_word_are_no_prose(self):
        self.write("docs/a.md", "```text", prose(120), "```", "", "    " + prose(120), "    " + prose(120), "",
                   "| " + prose(120), "![" + prose(120), "- " + "x" * 120)
        self.assertEqual(self.run_check(), [])

    def test_prose_after_a_block_is_prose(self):
        self.write("docs/a.md", "    command", "", prose(101), "    " + prose(120))
        self.assertEqual(self.run_check(), ["docs/a.md:3", "docs/a.md:4"])

    def test_comment_ends_at_the_limit(self):
        self.write("src/a.c", prose(100, "// "), prose(101, "// "), prose(100, "int a; // "), prose(101, "int a; // "))
        self.write("scripts/b", "#!/bin/sh", prose(100, "# "), prose(101, "# "), prose(120, "echo "), prose(120, "#     command "))
        self.assertEqual(self.run_check(), ["scripts/b:3", "src/a.c:2", "src/a.c:4"])

    def test_tab_is_eight_columns(self):
        self.write("src/a.c", "\t" + prose(92, "// "), "\t" + prose(93, "// "))
        self.assertEqual(self.run_check(), ["src/a.c:2"])

    def test_code_and_texts_are_no_prose(self):
        self.write("src/a.c", prose(120, "a(") + ");", 'b("// ' + prose(120) + '");')
        self.assertEqual(self.run_check(), [])

    def test_files_of_later_pass_until_they_are_done(self):
        self.write("src/new/a.c", prose(101, "// "))
        self.write("src/new/b.c", prose(100, "// "))
        self.check.LATER = {"src/new"}
        self.assertEqual(self.run_check(), [])
        self.write("src/new/a.c", prose(100, "// "))
        self.assertEqual(self.run_check(), ["src/new"])


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
