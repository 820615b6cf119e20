// rtvs-vni watch: the same look each second, as rates; on a terminal drawn anew, elsewhere lines.
#include "command.h"
#include "picture.h"
#include "rtvs/screen.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define SECOND_NS UINT64_C(1000000000)
#define MAX_COUNT 1000000

static uint32_t n_rounds; // 0: no end
static _Atomic bool is_stopping;

static void
stop(int sig)
{
	(void)sig;
	atomic_store(&is_stopping, true);
}

struct rates {
	double sent, received, dropped, mbit; // a second
};

static double
per_second(uint64_t now, uint64_t before, double seconds)
{
	return now > before ? (double)(now - before) / seconds : 0;
}

// A node that is another one than before has counted from 0 on.
static struct rates
rates_of(const struct picture *now, const struct picture *before, unsigned i, double seconds)
{
	static const struct segment_counters none;
	const struct segment_counters *a = &now->node[i].counters;
	const struct segment_counters *b =
		before->is_there[i] && before->node[i].epoch == now->node[i].epoch ? &before->node[i].counters : &none;

	return (struct rates){
		.sent = per_second(a->tx_frames, b->tx_frames, seconds),
		.received = per_second(a->rx_frames, b->rx_frames, seconds),
		.dropped = per_second(picture_dropped(a), picture_dropped(b), seconds),
		.mbit = per_second(a->tx_bytes, b->tx_bytes, seconds) * 8 / 1e6,
	};
}

// before NULL: there are no rates yet.
static void
print_screen(const struct picture *now, const struct picture *before, double seconds, const char *path, FILE *out)
{
	picture_print_segment(now, path, out);
	if (!before) {
		fputs("\nrates come in a second\n", out);
		return;
	}
	fprintf(out, "\n%4s %-24s %-8s %12s %12s %10s %10s %6s %6s\n", "NODE", "NAME", "STATE", "SENT/s", "RECEIVED/s",
		"MBIT/s", "DROPPED/s", "INBOX", "HOLDS");
	for (unsigned i = 0; i < now->geometry.n_nodes; i++) {
		struct rates r;

		if (!now->is_there[i])
			continue;
		r = rates_of(now, before, i, seconds);
		fprintf(out, "%4u %-24s %-8s %12.0f %12.0f %10.1f %10.0f %6" PRIu32 " %6" PRIu32 "\n", i,
			now->node[i].identity.name, picture_state(now, i), r.sent, r.received, r.mbit, r.dropped,
			now->node[i].inbox_depth, now->pool.n_held[i]);
	}
}

static void
print_lines(const struct picture *now, const struct picture *before, double seconds, FILE *out)
{
	time_t t = time(NULL);
	char clock[16];
	struct tm tm;

	(void)strftime(clock, sizeof(clock), "%H:%M:%S", localtime_r(&t, &tm));
	fprintf(out, "%s free=%" PRIu32 " reaped=%" PRIu64 "\n", clock, now->pool.n_free, now->pool.n_reaped);
	for (unsigned i = 0; i < now->geometry.n_nodes; i++) {
		struct rates r;

		if (!now->is_there[i])
			continue;
		r = rates_of(now, before, i, seconds);
		fprintf(out,
			"%s node=%u name=%s state=%s sent/s=%.0f received/s=%.0f Mbit/s=%.1f dropped/s=%.0f "
			"inbox=%" PRIu32 " holds=%" PRIu32 "\n",
			clock, i, now->node[i].identity.name, picture_state(now, i), r.sent, r.received, r.mbit,
			r.dropped, now->node[i].inbox_depth, now->pool.n_held[i]);
	}
	fflush(out);
}

static void
draw(const struct picture *now, const struct picture *before, double seconds, const char *path)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return;
	print_screen(now, before, seconds, path, out);
	if (!fclose(out))
		screen_draw(text);
	free(text);
}

static double
now_seconds(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static const char *
what_ended(const struct segment_file *file, const char *path)
{
	if (segment_file_is_broken(file))
		return "the file was truncated, or its memory failed: create the segment again";
	if (access(path, F_OK) && errno == ENOENT)
		return "the file was removed: only nodes that have it already are reached";
	return segment_file_is_replaced(file, path) ? "another segment has this path by now: watch again" : NULL;
}

// Rounds of a second each. The reason for the end, or NULL.
static const char *
watch(struct segment_file *file, const char *path)
{
	static struct picture pictures[2];
	bool is_screen = isatty(STDOUT_FILENO);
	double before = now_seconds();
	const char *why = NULL;

	picture_take(file, &pictures[0]);
	screen_keys_begin();
	if (is_screen)
		draw(&pictures[0], NULL, 0, path);
	for (unsigned i = 1; !n_rounds || i <= n_rounds; i++) {
		double now;

		if (screen_waits_for('q', SECOND_NS) || atomic_load(&is_stopping))
			break;
		now = now_seconds();
		picture_take(file, &pictures[i % 2]);
		why = what_ended(file, path);
		if (why)
			break;
		if (is_screen)
			draw(&pictures[i % 2], &pictures[(i + 1) % 2], now - before, path);
		else
			print_lines(&pictures[i % 2], &pictures[(i + 1) % 2], now - before, stdout);
		before = now;
	}
	screen_keys_end();
	return why;
}

static bool
parse(int c, const char *value)
{
	(void)c; // there is but one
	return command_number("--count", value, 1, MAX_COUNT, &n_rounds);
}

static int
run(const struct command_args *args)
{
	const struct sigaction action = {.sa_handler = stop};
	struct segment_file *file;
	char err[SEGMENT_ERR_SIZE];
	const char *why;

	if (segment_file_open(args->path, true, &file, err))
		return command_refused(err);
	(void)sigaction(SIGINT, &action, NULL);
	(void)sigaction(SIGTERM, &action, NULL);
	why = watch(file, args->path);
	segment_file_close(file);
	return why ? command_refused(why) : COMMAND_OK;
}

static const struct option options[] = {{"count", required_argument, NULL, 'c'}, COMMAND_HELP, COMMAND_IVSHMEM, {0}};
const struct command command_watch = {"watch", run, "shows a segment's traffic and pool, live",
	"usage: rtvs-vni watch [-c N] FILE\n"
	"       rtvs-vni watch [-c N] --ivshmem [PCI-ADDRESS]\n"
	"\n"
	"Draws a table anew each second, until q or Ctrl-C; not on a terminal, prints a line for each node. SENT/s, "
	"RECEIVED/s and\n"
	"DROPPED/s are frames, MBIT/s is what the node sends; INBOX slots that wait for it, HOLDS slots that it has, "
	"up "
	"to 64 in reserve.\n"
	"\n"
	"  -c, --count N  end after so many seconds\n"
	"      --ivshmem  the device of a virtual machine, instead of a file\n",
	":c:h", options, parse};
