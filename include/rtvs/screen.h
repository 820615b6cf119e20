// A terminal's screen that is drawn again and again.
#pragma once

// Shows the text anew on standard output, as far as the screen goes: its first lines, each up to the edge.
void screen_draw(const char *text);
