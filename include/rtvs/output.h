// Output that a program prints is written, or the program reports the failure: a backup on a full
// disk must not look done.
#pragma once

// Called at the start of main. The standard descriptors are open from here on, if only to fail, so
// that no socket or file becomes one. At the end of the process all output must have been written.
// Otherwise a message is printed on stderr, and the exit status is this one. A pipe that is not
// read any more is no failure.
void output_guard(int status);
