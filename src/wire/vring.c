// Recovery of a packed virtqueue's position from the ring itself. The driver writes descriptors
// with AVAIL = its wrap counter and USED = the opposite; the device writes used ones with both
// equal to its own. Around the ring AVAIL thus has one step, at the driver's position A.
// Descriptors before A are of this lap, those from A on of the lap before. Going back from A over
// unused buffers, the first used one is the last that the device finished. One pass, O(n). A
// backend may mark the first buffer of a batch last, to publish the batch at once. If it dies
// before, later ones are marked and the first is not. Those are reported as unfinished, for the
// caller to complete.
#include "rtvs/vring.h"

#include <errno.h>

static bool
is_avail_bit(const struct vring_packed_entry *d)
{
	return d->flags & VRING_DESC_F_AVAIL;
}

static bool
is_used(const struct vring_packed_entry *d)
{
	return !!(d->flags & VRING_DESC_F_AVAIL) == !!(d->flags & VRING_DESC_F_USED);
}

// The driver's position: where AVAIL changes. n when it does not change: the driver is at 0.
static int
driver_position(const struct vring_packed_entry *ring, uint16_t n, uint16_t *ret_index, bool *ret_wrap)
{
	uint16_t at = n;

	for (uint16_t i = 1; i < n; i++) {
		if (is_avail_bit(&ring[i]) == is_avail_bit(&ring[i - 1]))
			continue;
		if (at != n)
			return -EINVAL;
		at = i;
	}
	// No step: all of one lap are written, the driver is at 0 of the next.
	*ret_index = at == n ? 0 : at;
	*ret_wrap = at == n ? !is_avail_bit(&ring[0]) : is_avail_bit(&ring[0]);
	return 0;
}

int
vring_packed_recover(const struct vring_packed_entry *ring, uint16_t n, struct vring_position *ret_pos)
{
	uint16_t driver, back = 0, first;
	bool wrap;
	int rc;

	if (!n || n > VRING_PACKED_MAX)
		return -EINVAL;
	for (uint16_t i = 0; i < n; i++)
		if (ring[i].flags & VRING_DESC_F_NEXT)
			return -ENOTSUP;
	rc = driver_position(ring, n, &driver, &wrap);
	if (rc)
		return rc;
	// Back from the driver's position to the last used buffer.
	while (back < n && !is_used(&ring[(driver + n - 1 - back) % n]))
		back++;
	*ret_pos = (struct vring_position){
		.index = (uint16_t)((driver + n - back) % n), .wrap = driver >= back ? wrap : !wrap};
	// Holes before it: taken by the dead backend, not marked, though later ones are.
	first = back;
	for (uint16_t i = back; i < n; i++)
		if (!is_used(&ring[(driver + n - 1 - i) % n]))
			first = (uint16_t)(i + 1);
	ret_pos->n_unfinished = (uint16_t)(first - back);
	ret_pos->first_unfinished = (uint16_t)((driver + n - first) % n);
	ret_pos->first_wrap = driver >= first ? wrap : !wrap;
	return 0;
}
