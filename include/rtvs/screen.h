// A terminal's screen that is drawn again and again.
#pragma once

#include <stdbool.h>
#include <stdint.h>

// Shows the text anew on standard output, as far as the screen goes: its first lines, each up to
// the edge.
void screen_draw(const char *text);
// From begin to end keys arrive at once and are not shown, where standard input and output are a
// terminal.
void screen_keys_begin(void);
void screen_keys_end(void);
// Waits so long, or until a signal comes. True: the key was pressed before.
bool screen_waits_for(char key, uint64_t wait_ns);
