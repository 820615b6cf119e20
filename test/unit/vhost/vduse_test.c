// A kernel's requests to a VDUSE device: what a driver's kernel sends to start, stop, move and end
// does what it asks for, and any other request is answered with a failure. The kernel is a fake:
// what it would answer is in tables.
#include "../unit.h"
#include "rtvs/vduse.h"

#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>
#include <string.h>

#define F(bit) (UINT64_C(1) << (bit))
#define OFFERED                                                                                                      \
	(F(VIRTIO_F_VERSION_1) | F(VIRTIO_F_ACCESS_PLATFORM) | F(VIRTIO_NET_F_MRG_RXBUF) | F(VIRTIO_F_RING_PACKED) | \
		F(VIRTIO_RING_F_EVENT_IDX))
#define AGREED (OFFERED & ~F(VIRTIO_F_RING_PACKED))
#define READY (VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | VIRTIO_CONFIG_S_FEATURES_OK)
#define RUNS (READY | VIRTIO_CONFIG_S_DRIVER_OK)
#define SIZE 64
#define PAGE 4096
#define MAX_MAPS 1024
#define BUFFERS UINT64_C(0) // where a driver's buffers are, and its rings
#define RINGS (UINT64_C(1) << 26)

// The kernel, and the device's program.
static struct fake {
	uint64_t features;
	bool has_driver;
	struct vduse_vq_info ring[VDUSE_N_RINGS];
	struct vduse_iotlb_entry *region;
	unsigned n_regions;
	int fail_map; // of the next maps
	bool is_coming; // when its memory has been read: more of it, and the first buffer
	unsigned n_fds, n_maps, n_listens;
	bool is_running[VDUSE_N_RINGS];
	struct guest_ring_cfg started[VDUSE_N_RINGS];
	struct guest_ring_pos stopped_at;
} fake;

static struct vduse v;
static _Alignas(4096) uint8_t memory[16 * PAGE];
static struct vduse_iotlb_entry regions[MAX_MAPS];

static int
get_features(void *arg, uint64_t *ret_features)
{
	(void)arg;
	*ret_features = fake.features;
	return 0;
}

static int
get_ring(void *arg, struct vduse_vq_info *info)
{
	(void)arg;
	assert_true(info->index < VDUSE_N_RINGS);
	*info = fake.ring[info->index];
	return 0;
}

static bool
has_driver(void *arg)
{
	(void)arg;
	return fake.has_driver;
}

static int
find(void *arg, struct vduse_iotlb_entry *entry)
{
	(void)arg;
	for (unsigned i = 0; i < fake.n_regions; i++)
		if (fake.region[i].last >= entry->start && fake.region[i].start <= entry->last) {
			*entry = fake.region[i];
			fake.n_fds++;
			return 7;
		}
	if (fake.is_coming) {
		fake.is_coming = false;
		fake.n_regions++;
		memory[4 * PAGE + 2048 + 2] = 1;
	}
	return -EINVAL;
}

static void
close_fd(void *arg, int fd)
{
	(void)arg;
	assert_int_equal(fd, 7);
	fake.n_fds--;
}

static void
assert_nothing_runs(void)
{
	assert_false(fake.is_running[0] || fake.is_running[1]);
}

static int
map(void *arg, int fd, uint64_t offset, uint64_t n_bytes, uint8_t **ret_host)
{
	close_fd(arg, fd);
	assert_nothing_runs();
	assert_true(n_bytes > 0);
	if (fake.fail_map && fake.fail_map--)
		return -ENOMEM;
	*ret_host = memory + offset;
	fake.n_maps++;
	return 0;
}

static void
unmap(void *arg, uint8_t *host, uint64_t n_bytes)
{
	(void)arg;
	(void)n_bytes;
	assert_nothing_runs();
	assert_true(host >= memory && host < memory + sizeof(memory));
	fake.n_maps--;
}

static void
listen_now(void *arg)
{
	(void)arg;
	fake.n_listens++;
}

static int
start(void *arg, unsigned ring, const struct guest_ring_cfg *cfg)
{
	struct guest_ring r;

	(void)arg;
	assert_false(fake.is_running[ring]);
	assert_int_equal(guest_ring_init(&r, cfg), 0);
	fake.is_running[ring] = true;
	fake.started[ring] = *cfg;
	return 0;
}

static void
stop(void *arg, unsigned ring, struct guest_ring_pos *ret_pos)
{
	(void)arg;
	assert_true(fake.is_running[ring]);
	fake.is_running[ring] = false;
	*ret_pos = fake.stopped_at;
}

static const struct vduse_ops ops = {.features = get_features,
	.ring = get_ring,
	.has_driver = has_driver,
	.find = find,
	.listen = listen_now,
	.map = map,
	.unmap = unmap,
	.close = close_fd,
	.start = start,
	.stop = stop};
static const struct vduse_cfg cfg = {.ops = &ops, .features = OFFERED};

// Buffers, then rings, each ring in a page of its own.
static int
begin(void **state)
{
	(void)state;
	memset(memory, 0, sizeof(memory));
	memset(&fake, 0, sizeof(fake));
	fake.features = AGREED;
	fake.region = regions;
	fake.n_regions = 2;
	regions[0] = (struct vduse_iotlb_entry){.start = BUFFERS, .last = 4 * PAGE - 1, .perm = VDUSE_ACCESS_RW};
	regions[1] = (struct vduse_iotlb_entry){
		.offset = 4 * PAGE, .start = RINGS, .last = RINGS + 4 * PAGE - 1, .perm = VDUSE_ACCESS_RW};
	for (unsigned i = 0; i < VDUSE_N_RINGS; i++)
		fake.ring[i] = (struct vduse_vq_info){.index = i,
			.num = SIZE,
			.desc_addr = RINGS + 2 * i * PAGE,
			.driver_addr = RINGS + 2 * i * PAGE + 2048,
			.device_addr = RINGS + (2 * i + 1) * PAGE,
			.ready = 1};
	vduse_init(&v, &cfg);
	return 0;
}

static int
end(void **state)
{
	(void)state;
	vduse_fini(&v);
	assert_nothing_runs();
	assert_int_equal(fake.n_maps, 0);
	assert_int_equal(fake.n_fds, 0);
	return 0;
}

static uint8_t *
at(uint64_t address)
{
	return memory + 4 * PAGE + (address - RINGS);
}

static void
set_index(uint64_t part, uint16_t index)
{
	memcpy(at(part) + 2, &index, sizeof(index));
}

static struct vduse_dev_response
ask(const struct vduse_dev_request *request)
{
	static uint32_t id;
	struct vduse_dev_request r = *request;
	struct vduse_dev_response response;

	r.request_id = ++id;
	memset(&response, 0xaa, sizeof(response));
	vduse_handle(&v, &r, &response);
	assert_int_equal(response.request_id, id);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(response.reserved[i], 0); // else the kernel refuses it
	return response;
}

static uint32_t
set_status(uint8_t status)
{
	return ask(&(struct vduse_dev_request){.type = VDUSE_SET_STATUS, .s.status = status}).result;
}

static uint32_t
update_memory(uint64_t first, uint64_t last)
{
	return ask(&(struct vduse_dev_request){.type = VDUSE_UPDATE_IOTLB, .iova = {first, last}}).result;
}

// As a kernel's driver does that has an interface which is up.
static void
run(void)
{
	assert_int_equal(set_status(RUNS), VDUSE_REQ_RESULT_OK);
	fake.has_driver = true;
	set_index(fake.ring[0].driver_addr, 8);
	assert_false(vduse_look(&v));
	assert_true(fake.is_running[0] && fake.is_running[1]);
}

static void
rings_start_when_a_buffer_is_offered(void **state)
{
	(void)state;
	fake.n_regions = 1; // rings alone: the kernel has no buffers yet
	regions[0] = regions[1];
	assert_int_equal(set_status(READY), VDUSE_REQ_RESULT_OK);
	assert_false(vduse_look(&v));
	assert_int_equal(fake.n_listens, 0);
	assert_int_equal(set_status(RUNS), VDUSE_REQ_RESULT_OK);
	assert_int_equal(fake.n_listens, 1);
	// The kernel has not read the answer.
	set_index(fake.ring[0].driver_addr, 8);
	assert_true(vduse_look(&v));
	assert_nothing_runs();
	set_index(fake.ring[0].driver_addr, 0);
	fake.has_driver = true;
	assert_true(vduse_look(&v));
	assert_nothing_runs();
	regions[1] = regions[0];
	regions[0] = (struct vduse_iotlb_entry){.start = BUFFERS, .last = 4 * PAGE - 1, .perm = VDUSE_ACCESS_RW};
	fake.n_regions = 2;
	set_index(fake.ring[0].driver_addr, 8);
	assert_false(vduse_look(&v));
	assert_true(fake.is_running[0] && fake.is_running[1]);
	assert_int_equal(fake.n_maps, 2);
	assert_int_equal(fake.started[0].hdr_bytes, 12);
	assert_true(fake.started[0].has_event_idx && fake.started[0].has_mergeable);
	assert_false(fake.started[0].has_indirect || fake.started[0].is_packed);
	assert_ptr_equal(fake.started[1].desc, at(fake.ring[1].desc_addr));
	assert_int_equal(fake.started[1].desc_guest, fake.ring[1].desc_addr);
}

static void
memory_that_comes_with_the_first_buffer_is_known(void **state)
{
	struct vduse_iotlb_entry buffers = regions[0];

	(void)state;
	regions[0] = regions[1];
	regions[0].offset = 4 * PAGE;
	regions[1] = buffers;
	regions[1].start = RINGS * 2;
	regions[1].last = RINGS * 2 + PAGE - 1;
	fake.n_regions = 1;
	fake.is_coming = true;
	assert_int_equal(set_status(RUNS), VDUSE_REQ_RESULT_OK);
	fake.has_driver = true;
	assert_false(vduse_look(&v));
	assert_true(fake.is_running[0] && fake.is_running[1]);
	assert_int_equal(fake.n_maps, 2);
}

static void
ring_that_is_ready_later_starts_later(void **state)
{
	(void)state;
	fake.ring[1].ready = 0;
	assert_int_equal(set_status(RUNS), VDUSE_REQ_RESULT_OK);
	fake.has_driver = true;
	set_index(fake.ring[0].driver_addr, 1);
	assert_true(vduse_look(&v));
	assert_true(fake.is_running[0] && !fake.is_running[1]);
	fake.ring[1].ready = 1;
	assert_false(vduse_look(&v));
	assert_true(fake.is_running[1]);
}

static void
rings_that_are_none_do_not_start(void **state)
{
	static const struct {
		uint32_t num;
		uint64_t desc;
	} rings[] = {{0, RINGS}, {GUEST_RING_MAX + 1, RINGS}, {65536 + SIZE, RINGS}, {SIZE + 1, RINGS},
		{SIZE, RINGS + 1}, {SIZE, RINGS - PAGE}, {SIZE, RINGS + 4 * PAGE - 16}, {SIZE, UINT64_MAX - 15},
		{GUEST_RING_MAX, RINGS}};

	(void)state;
	run();
	for (unsigned i = 0; i < sizeof(rings) / sizeof(rings[0]); i++) {
		assert_int_equal(set_status(0), VDUSE_REQ_RESULT_OK);
		assert_int_equal(set_status(RUNS), VDUSE_REQ_RESULT_OK);
		fake.ring[0].num = rings[i].num;
		fake.ring[0].desc_addr = rings[i].desc;
		set_index(fake.ring[1].driver_addr, 1);
		assert_true(vduse_look(&v));
		assert_true(!fake.is_running[0] && fake.is_running[1]);
	}
}

static void
reset_ends_all(void **state)
{
	(void)state;
	run();
	fake.stopped_at = (struct guest_ring_pos){.avail = 8, .used = 8};
	assert_int_equal(set_status(0), VDUSE_REQ_RESULT_OK);
	assert_nothing_runs();
	assert_int_equal(fake.n_maps, 0);
	assert_int_equal(v.features, 0);
	assert_false(vduse_look(&v));
	fake.n_listens = 0;
	run();
	assert_int_equal(fake.n_listens, 1); // the kernel forgot, too
	assert_int_equal(fake.started[0].pos.avail, 0);
}

static void
failed_driver_has_no_rings(void **state)
{
	(void)state;
	run();
	assert_int_equal(set_status(RUNS | VIRTIO_CONFIG_S_FAILED), VDUSE_REQ_RESULT_OK);
	assert_nothing_runs();
	assert_false(vduse_look(&v));
}

static void
features_that_were_not_offered_are_refused(void **state)
{
	static const uint64_t wrong[] = {AGREED | F(VIRTIO_NET_F_CTRL_VQ), AGREED & ~F(VIRTIO_F_VERSION_1), 0};

	(void)state;
	for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		fake.features = wrong[i];
		assert_int_equal(set_status(RUNS), VDUSE_REQ_RESULT_FAILED);
		fake.has_driver = true;
		set_index(fake.ring[0].driver_addr, 8);
		assert_false(vduse_look(&v));
	}
	fake.features = AGREED;
	run();
}

static void
memory_that_goes_is_let_go(void **state)
{
	(void)state;
	run();
	fake.stopped_at = (struct guest_ring_pos){.avail = 5, .used = 5};
	assert_int_equal(update_memory(0, UINT64_MAX), VDUSE_REQ_RESULT_OK);
	assert_nothing_runs();
	assert_int_equal(fake.n_maps, 0);
	assert_false(vduse_look(&v));
	assert_int_equal(fake.started[0].pos.avail, 5);
	assert_int_equal(update_memory(2, 1), VDUSE_REQ_RESULT_FAILED);
	assert_true(fake.is_running[0]);
	// With the rings gone, they wait.
	assert_int_equal(update_memory(0, UINT64_MAX), VDUSE_REQ_RESULT_OK);
	fake.n_regions = 1;
	assert_true(vduse_look(&v));
	assert_nothing_runs();
}

static void
memory_that_workers_may_not_write_is_left_out(void **state)
{
	(void)state;
	regions[2] = (struct vduse_iotlb_entry){.start = RINGS * 2, .last = RINGS * 2, .perm = VDUSE_ACCESS_RO};
	regions[3] = (struct vduse_iotlb_entry){.start = RINGS * 3, .last = RINGS * 3, .perm = VDUSE_ACCESS_WO};
	regions[4] = (struct vduse_iotlb_entry){.start = RINGS * 4, .last = UINT64_MAX, .perm = VDUSE_ACCESS_RO};
	fake.n_regions = 5;
	run();
	assert_int_equal(fake.n_maps, 2);
}

static void
memory_that_cannot_be_mapped_is_tried_again(void **state)
{
	(void)state;
	fake.fail_map = 2;
	assert_int_equal(set_status(RUNS), VDUSE_REQ_RESULT_OK);
	fake.has_driver = true;
	set_index(fake.ring[0].driver_addr, 8);
	assert_true(vduse_look(&v));
	assert_nothing_runs();
	assert_false(vduse_look(&v));
}

static void
most_regions_are_known_and_one_more_is_not(void **state)
{
	(void)state;
	for (unsigned n = GUEST_MEM_MAX_REGIONS; n <= GUEST_MEM_MAX_REGIONS + 1; n++) {
		fake.n_regions = n;
		for (unsigned i = 2; i < n; i++)
			regions[i] = (struct vduse_iotlb_entry){.start = RINGS + i * UINT64_C(65536),
				.last = RINGS + i * UINT64_C(65536),
				.perm = VDUSE_ACCESS_RW};
		run();
		assert_int_equal(fake.n_maps, GUEST_MEM_MAX_REGIONS);
		assert_int_equal(set_status(0), VDUSE_REQ_RESULT_OK);
	}
}

static void
state_of_rings_is_told(void **state)
{
	struct vduse_dev_request request = {.type = VDUSE_GET_VQ_STATE};
	struct vduse_dev_response response;

	(void)state;
	fake.ring[0].split.avail_index = 77; // as another device left it
	assert_int_equal(ask(&request).vq_state.split.avail_index, 77);
	run();
	assert_int_equal(fake.started[0].pos.avail, 77);
	fake.stopped_at = (struct guest_ring_pos){.avail = 65535, .used = 65535};
	response = ask(&request);
	assert_int_equal(response.result, VDUSE_REQ_RESULT_OK);
	assert_int_equal(response.vq_state.index, 0);
	assert_int_equal(response.vq_state.split.avail_index, 65535);
	assert_false(vduse_look(&v)); // it goes on
	assert_int_equal(fake.started[0].pos.used, 65535);
	request.vq_state.index = VDUSE_N_RINGS;
	assert_int_equal(ask(&request).result, VDUSE_REQ_RESULT_FAILED);
	request.vq_state.index = UINT32_MAX;
	assert_int_equal(ask(&request).result, VDUSE_REQ_RESULT_FAILED);
	assert_true(fake.is_running[0] && fake.is_running[1]);
}

static void
packed_rings_have_wraps(void **state)
{
	struct vduse_dev_request request = {.type = VDUSE_GET_VQ_STATE, .vq_state.index = 1};
	struct vduse_dev_response response;

	(void)state;
	fake.features = OFFERED;
	for (unsigned i = 0; i < VDUSE_N_RINGS; i++)
		fake.ring[i].packed = (struct vduse_vq_state_packed){1, 3, 1, 3};
	assert_int_equal(set_status(RUNS), VDUSE_REQ_RESULT_OK);
	fake.has_driver = true;
	assert_true(vduse_look(&v));
	at(fake.ring[0].desc_addr)[15] = 1;
	assert_false(vduse_look(&v));
	assert_true(fake.started[1].is_packed && fake.started[1].pos.avail_wrap && fake.started[1].pos.used_wrap);
	assert_int_equal(fake.started[1].pos.avail, 3);
	fake.stopped_at = (struct guest_ring_pos){.avail = 9, .used = 8, .used_wrap = true};
	response = ask(&request);
	assert_int_equal(response.vq_state.index, 1);
	assert_int_equal(response.vq_state.packed.last_avail_idx, 9);
	assert_int_equal(response.vq_state.packed.last_avail_counter, 0);
	assert_int_equal(response.vq_state.packed.last_used_idx, 8);
	assert_int_equal(response.vq_state.packed.last_used_counter, 1);
}

// Its program died: the ring knows what that has used.
static void
driver_that_is_there_goes_on(void **state)
{
	(void)state;
	fake.has_driver = true;
	set_index(fake.ring[0].driver_addr, 200);
	set_index(fake.ring[0].device_addr, 150);
	set_index(fake.ring[1].device_addr, 65535);
	vduse_init(&v, &cfg);
	assert_int_equal(fake.n_listens, 1);
	assert_int_equal(v.features, AGREED);
	assert_false(vduse_look(&v));
	assert_int_equal(fake.started[0].pos.avail, 150);
	assert_int_equal(fake.started[1].pos.used, 65535);
	// After a reset it is a new device.
	assert_int_equal(set_status(0), VDUSE_REQ_RESULT_OK);
	run();
	assert_int_equal(fake.started[0].pos.avail, 0);
}

static void
driver_of_another_device_does_not_go_on(void **state)
{
	(void)state;
	fake.has_driver = true;
	fake.features = AGREED | F(VIRTIO_NET_F_CTRL_VQ);
	set_index(fake.ring[0].driver_addr, 200);
	vduse_init(&v, &cfg);
	assert_false(vduse_look(&v));
	assert_nothing_runs();
}

static void
requests_of_other_kernels_are_refused(void **state)
{
	(void)state;
	run();
	for (uint32_t type = VDUSE_UPDATE_IOTLB + 1; type < 64; type++)
		assert_int_equal(ask(&(struct vduse_dev_request){.type = type}).result, VDUSE_REQ_RESULT_FAILED);
	assert_int_equal(ask(&(struct vduse_dev_request){.type = UINT32_MAX}).result, VDUSE_REQ_RESULT_FAILED);
	assert_true(fake.is_running[0] && fake.is_running[1]);
}

static void
changes_are_known_before(void **state)
{
	static const struct {
		struct vduse_dev_request request;
		bool is_change;
	} rows[] = {
		{{.type = VDUSE_SET_STATUS, .s.status = 0}, true},
		{{.type = VDUSE_SET_STATUS, .s.status = READY}, true},
		{{.type = VDUSE_SET_STATUS, .s.status = RUNS | VIRTIO_CONFIG_S_FAILED}, true},
		{{.type = VDUSE_SET_STATUS, .s.status = RUNS}, false},
		{{.type = VDUSE_GET_VQ_STATE}, true},
		{{.type = VDUSE_UPDATE_IOTLB, .iova = {0, UINT64_MAX}}, true},
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_false(vduse_is_change(&v, &rows[i].request));
	run();
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(vduse_is_change(&v, &rows[i].request), rows[i].is_change);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, begin, end)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(rings_start_when_a_buffer_is_offered),
		CASE(memory_that_comes_with_the_first_buffer_is_known),
		CASE(ring_that_is_ready_later_starts_later),
		CASE(rings_that_are_none_do_not_start),
		CASE(reset_ends_all),
		CASE(failed_driver_has_no_rings),
		CASE(features_that_were_not_offered_are_refused),
		CASE(memory_that_goes_is_let_go),
		CASE(memory_that_workers_may_not_write_is_left_out),
		CASE(memory_that_cannot_be_mapped_is_tried_again),
		CASE(most_regions_are_known_and_one_more_is_not),
		CASE(state_of_rings_is_told),
		CASE(packed_rings_have_wraps),
		CASE(driver_that_is_there_goes_on),
		CASE(driver_of_another_device_does_not_go_on),
		CASE(requests_of_other_kernels_are_refused),
		CASE(changes_are_known_before),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
