// Fuzz target: a front-end's messages, cut anywhere. Each chunk of the input is a byte, which says
// how many descriptors come with it and how many bytes it has, and the bytes. For any input each
// descriptor goes to one effect, each mapping is undone, and rings run only in mapped memory.
#include "vhost_effects.h"

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t len);

static void
receive(struct vhost_user *u, const uint8_t *bytes, size_t n, unsigned n_fds)
{
	int fds[VHOST_USER_MAX_FDS + 7];

	for (unsigned i = 0; i < n_fds; i++, n_open++)
		fds[i] = next_fd++;
	do {
		size_t part = vhost_user_wants(u) < n ? vhost_user_wants(u) : n;

		PROMISE(vhost_user_wants(u) > 0);
		if (vhost_user_receive(u, bytes, part, fds, n_fds) ||
			(vhost_user_next(u) != VHOST_USER_PART && vhost_user_handle(u)))
			return;
		bytes += part;
		n -= part;
		n_fds = 0;
	} while (n);
}

int
LLVMFuzzerTestOneInput(const uint8_t *input, size_t len)
{
	static struct vhost_user u;

	effects_begin(&u);
	while (len && !u.why[0]) {
		unsigned n_fds = *input >> 4;
		size_t n = *input & 15 ? (*input & 15u) * 4u : 264;

		input++;
		len--;
		n = n < len ? n : len;
		if (n)
			receive(&u, input, n, n_fds);
		input += n;
		len -= n;
		if (n_fds & 1)
			vhost_user_sent(&u, u.n_out);
	}
	effects_end(&u);
	return 0;
}
