// One write of a whole screen: the cursor goes home, so that nothing flickers and nothing scrolls.
#include "rtvs/screen.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

void
screen_draw(const char *text)
{
	struct winsize size = {0};
	unsigned left, n_more = 0;

	(void)ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
	left = size.ws_row ? size.ws_row - 1u : UINT_MAX;
	fputs("\033[?7l\033[H\033[2J", stdout);
	for (const char *end; (end = strchr(text, '\n')); text = end + 1) {
		if (left && left--)
			fwrite(text, 1, (size_t)(end + 1 - text), stdout);
		else
			n_more++;
	}
	if (n_more)
		printf("(%u more lines)", n_more);
	fputs("\033[?7h", stdout);
	fflush(stdout);
}
