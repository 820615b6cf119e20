// Fuzz target: what a former process says of a front-end's session. The input is its record (struct
// vhost_user_kept), and a byte for each of its descriptors: whether it is there. For any input the
// promises of vhost_effects.h hold, and a session that goes on can be kept again.
#include "vhost_effects.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t len);

static void
open_some(int *fd, unsigned n, const uint8_t **input, size_t *len)
{
	for (unsigned i = 0; i < n; i++) {
		bool is_there = *len && **input & 1;

		fd[i] = is_there ? next_fd++ : -1;
		n_open += is_there;
		*input += *len > 0;
		*len -= *len > 0;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *input, size_t len)
{
	static struct vhost_user u;
	struct vhost_user_kept kept = {0}, again;
	struct vhost_user_kept_fds fds;
	size_t n = len < sizeof(kept) ? len : sizeof(kept);

	memcpy(&kept, input, n);
	input += n;
	len -= n;
	effects_begin(&u);
	open_some(fds.memory, VHOST_USER_KEPT_REGIONS, &input, &len);
	open_some(fds.kick, VHOST_USER_MAX_RINGS, &input, &len);
	open_some(fds.call, VHOST_USER_MAX_RINGS, &input, &len);
	if (!vhost_user_kept_restore(&u, &kept, &fds))
		PROMISE(vhost_user_kept_save(&u, &again) || u.why[0] || u.n_out);
	effects_end(&u);
	return 0;
}
