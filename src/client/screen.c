// One write of a whole screen: the cursor goes home, so that nothing flickers and nothing scrolls.
#include "rtvs/screen.h"

#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

static struct termios before;
static bool has_keys;

void
screen_keys_begin(void)
{
	struct termios now;

	if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO) || tcgetattr(STDIN_FILENO, &before))
		return;
	now = before;
	now.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	has_keys = !tcsetattr(STDIN_FILENO, TCSANOW, &now);
}

void
screen_keys_end(void)
{
	if (has_keys)
		(void)tcsetattr(STDIN_FILENO, TCSANOW, &before);
	has_keys = false;
}

static uint64_t
now_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

bool
screen_waits_for(char key, uint64_t wait_ns)
{
	struct pollfd p = {.fd = has_keys ? STDIN_FILENO : -1, .events = POLLIN};
	uint64_t end_ns = now_ns() + wait_ns, t_ns;
	char typed;

	while ((t_ns = now_ns()) < end_ns) {
		struct timespec left = {.tv_sec = (time_t)((end_ns - t_ns) / 1000000000),
			.tv_nsec = (long)((end_ns - t_ns) % 1000000000)};
		int n = ppoll(&p, 1, &left, NULL);

		if (n <= 0)
			return false;
		if (read(STDIN_FILENO, &typed, 1) != 1)
			p.fd = -1; // the terminal is gone
		else if (typed == key)
			return true;
	}
	return false;
}

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
