// usage: segment-echo SEGMENT [FRAMES]
//
// An example of a program that is a node of a segment: sends each frame back to the node that it came from, with the addresses exchanged. Polls; ends
// after FRAMES, else with Ctrl-C.
//
//   cc -o segment-echo segment-echo.c $(pkg-config --cflags --libs rtvswitch-segment)
#include <rtvswitch/segment.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BURST 32

static volatile sig_atomic_t is_to_end;

static void
end(int sig)
{
	(void)sig;
	is_to_end = 1;
}

static uint64_t
now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

// The answer to a frame: its bytes, to the node that sent it. Returns false when the pool has no slot.
static bool
answer(struct rtvs_segment *s, const struct rtvs_segment_frame *frame, struct rtvs_segment_frame *ret_answer)
{
	uint32_t n;
	uint8_t *to;

	if (rtvs_segment_reserve(s, UINT64_C(1) << frame->from, frame->len, ret_answer))
		return false;
	for (unsigned i = 0; i < frame->n_pieces; i++) {
		const void *from = rtvs_segment_piece(s, frame, i, &n);

		memcpy(rtvs_segment_piece(s, ret_answer, i, &n), from, n);
	}
	ret_answer->offload = frame->offload;
	to = rtvs_segment_piece(s, ret_answer, 0, &n);
	for (unsigned i = 0; i < 6; i++) {
		uint8_t byte = to[i];

		to[i] = to[6 + i];
		to[6 + i] = byte;
	}
	return true;
}

int
main(int argc, char **argv)
{
	struct rtvs_segment_node node = {
		.name = "echo", .number = RTVS_SEGMENT_ANY_NUMBER, .n_macs = 1, .mac = {{2, 'e', 'c', 'h', 'o', 1}}};
	struct rtvs_segment_frame frames[BURST], answers[BURST];
	uint64_t n_left = argc > 2 ? strtoull(argv[2], NULL, 10) : UINT64_MAX, tended_ms = 0;
	char err[RTVS_SEGMENT_ERR_SIZE];
	struct rtvs_segment *s;

	if (argc < 2 || argc > 3) {
		fprintf(stderr, "usage: segment-echo SEGMENT [FRAMES]\n");
		return 2;
	}
	if (rtvs_segment_catch_truncation()) {
		perror("segment-echo: SIGBUS");
		return 1;
	}
	if (rtvs_segment_open(argv[1], &node, &s, err)) {
		fprintf(stderr, "segment-echo: %s\n", err);
		return 1;
	}
	signal(SIGINT, end);
	signal(SIGTERM, end);
	printf("node %d of %s\n", rtvs_segment_number(s), argv[1]);
	fflush(stdout);
	while (!is_to_end && n_left) {
		unsigned n = rtvs_segment_receive(s, frames, BURST), n_answers = 0;

		for (unsigned i = 0; i < n; i++)
			n_answers += answer(s, &frames[i], &answers[n_answers]);
		rtvs_segment_release(s, frames, n);
		rtvs_segment_send(s, answers, n_answers);
		n_left -= n < n_left ? n : n_left;
		if (now_ms() - tended_ms < RTVS_SEGMENT_TEND_MS)
			continue;
		tended_ms = now_ms();
		if (rtvs_segment_tend(s) && rtvs_segment_rejoin(s, err)) {
			fprintf(stderr, "segment-echo: %s\n", err);
			break;
		}
	}
	rtvs_segment_close(s);
	return 0;
}
