// Stands in for client.c: the linker takes these before it looks into the library.
#define _XOPEN_SOURCE 700
#include "fake_client.h"

#include "../unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

const struct fake_answer *fake_client_answers;
static int saved, source;

enum cli_exit
client_ask(struct client *c, const char *method, json_t *params, json_t **ret_result)
{
	char *given = json_dumps(params, JSON_COMPACT);

	(void)c;
	json_decref(params);
	for (const struct fake_answer *a = fake_client_answers; a->method; a++) {
		if (strcmp(a->method, method))
			continue;
		if (a->params)
			assert_string_equal(given, a->params);
		free(given);
		*ret_result = a->json ? json_loads(a->json, 0, NULL) : NULL;
		assert_true(!a->json || *ret_result);
		return a->json ? CLI_OK : CLI_REFUSED;
	}
	fail_msg("nobody expected %s", method);
}

void
fake_client_begin(unsigned short rows)
{
	const struct winsize size = {.ws_row = rows, .ws_col = 40};
	int out;

	fflush(stdout);
	saved = dup(STDOUT_FILENO);
	source = rows ? posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC) : memfd_create("out", MFD_CLOEXEC);
	assert_true(saved >= 0 && source >= 0);
	if (!rows) {
		assert_int_equal(dup2(source, STDOUT_FILENO), STDOUT_FILENO);
		return;
	}
	assert_int_equal(grantpt(source) | unlockpt(source), 0);
	out = open(ptsname(source), O_RDWR | O_NOCTTY | O_CLOEXEC);
	assert_true(out >= 0);
	assert_int_equal(ioctl(out, TIOCSWINSZ, &size), 0);
	assert_int_equal(dup2(out, STDOUT_FILENO), STDOUT_FILENO);
	close(out);
	assert_int_equal(fcntl(source, F_SETFL, O_NONBLOCK), 0);
}

const char *
fake_client_end(void)
{
	static char text[65536];
	size_t len = 0;
	ssize_t n;

	fflush(stdout);
	(void)lseek(source, 0, SEEK_SET); // a terminal has no beginning
	while (len + 1 < sizeof(text) && (n = read(source, text + len, sizeof(text) - 1 - len)) > 0)
		len += (size_t)n;
	text[len] = '\0';
	assert_int_equal(dup2(saved, STDOUT_FILENO), STDOUT_FILENO);
	close(saved);
	close(source);
	return text;
}
