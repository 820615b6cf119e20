// What a program prints is written, or the program says that it is not: a backup on a full disk must not look done.
#pragma once

// At the start of main. The standard descriptors are open from here on, if only to fail, so that no socket or file becomes one. At
// the end of the process, what was printed must have been written; else that is said on stderr and the exit status is
// this one. A pipe that nobody reads any more is no failure.
void output_guard(int status);
