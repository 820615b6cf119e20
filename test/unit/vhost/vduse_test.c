// A kernel's requests to a VDUSE device: what a driver's kernel sends to start, stop, move and end
// does what it asks for, and any other request is answered with a failure.
#include "../../fuzz/vduse_kernel.h"
#include "../unit.h"

#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>

#define F(bit) (UINT64_C(1) << (bit))
#define OFFERED                                                                                                      \
	(F(VIRTIO_F_VERSION_1) | F(VIRTIO_F_ACCESS_PLATFORM) | F(VIRTIO_NET_F_MRG_RXBUF) | F(VIRTIO_F_RING_PACKED) | \
		F(VIRTIO_RING_F_EVENT_IDX))
#define AGREED (OFFERED & ~F(VIRTIO_F_RING_PACKED))
#define READY (VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | VIRTIO_CONFIG_S_FEATURES_OK)
#define RUNS (READY | VIRTIO_CONFIG_S_DRIVER_OK)
#define SIZE 64
#define PAGE 4096
#define BUFFERS UINT64_C(0) // where a driver's buffers are, and its rings
#define RINGS (UINT64_C(1) << 26)

static struct vduse v;

static void
assert_nothing_runs(void)
{
	assert_true(kernel_is_quiet());
}

static const struct vduse_cfg cfg = {.ops = &kernel_ops, .features = OFFERED};

// Buffers, then rings, each ring in a page of its own.
static int
begin(void **state)
{
	(void)state;
	memset(kernel_memory, 0, sizeof(kernel_memory));
	memset(&kernel, 0, sizeof(kernel));
	kernel.features = AGREED;
	kernel.n_regions = 2;
	kernel.region[0] = (struct vduse_iotlb_entry){.start = BUFFERS, .last = 4 * PAGE - 1, .perm = VDUSE_ACCESS_RW};
	kernel.region[1] = (struct vduse_iotlb_entry){
		.offset = 4 * PAGE, .start = RINGS, .last = RINGS + 4 * PAGE - 1, .perm = VDUSE_ACCESS_RW};
	for (unsigned i = 0; i < VDUSE_N_RINGS; i++)
		kernel.ring[i] = (struct vduse_vq_info){.index = i,
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
	assert_int_equal(kernel.n_maps, 0);
	assert_int_equal(kernel.n_fds, 0);
	return 0;
}

static uint8_t *
at(uint64_t address)
{
	return kernel_memory + 4 * PAGE + (address - RINGS);
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
	kernel.has_driver = true;
	set_index(kernel.ring[0].driver_addr, 8);
	assert_false(vduse_look(&v));
	assert_true(kernel.is_running[0] && kernel.is_running[1]);
}

static void
rings_start_when_a_buffer_is_offered(void **state)
{
	(void)state;
	kernel.n_regions = 1; // rings alone: the kernel has no buffers yet
	kernel.region[0] = kernel.region[1];
	assert_int_equal(set_status(READY), VDUSE_REQ_RESULT_OK);
	assert_false(vduse_look(&v));
	assert_int_equal(kernel.n_listens, 0);
	assert_int_equal(set_status(RUNS), VDUSE_REQ_RESULT_OK);
	assert_int_equal(kernel.n_listens, 1);
	// The kernel has not read the answer.
	set_index(kernel.ring[0].driver_addr, 8);
	assert_true(vduse_look(&v));
	assert_nothing_runs();
	set_index(kernel.ring[0].driver_addr, 0);
	kernel.has_driver = true;
	assert_true(vduse_look(&v));
	assert_nothing_runs();
	kernel.region[1] = kernel.region[0];
	kernel.region[0] = (struct vduse_iotlb_entry){.start = BUFFERS, .last = 4 * PAGE - 1, .perm = VDUSE_ACCESS_RW};
	kernel.n_regions = 2;
	set_index(kernel.ring[0].driver_addr, 8);
	assert_false(vduse_look(&v));
	assert_true(kernel.is_running[0] && kernel.is_running[1]);
	assert_int_equal(kernel.n_maps, 2);
	assert_int_equal(kernel.started[0].hdr_bytes, 12);
	assert_true(kernel.started[0].has_event_idx && kernel.started[0].has_mergeable);
	assert_false(kernel.started[0].has_indirect || kernel.started[0].is_packed);
	assert_ptr_equal(kernel.started[1].desc, at(kernel.ring[1].desc_addr));
	assert_int_equal(kernel.started[1].desc_guest, kernel.ring[1].desc_addr);
}

static void
more_comes(void)
{
	kernel.memory_was_read = NULL;
	kernel.n_regions++;
	set_index(kernel.ring[0].driver_addr, 1);
}

static void
memory_that_comes_with_the_first_buffer_is_known(void **state)
{
	struct vduse_iotlb_entry buffers = kernel.region[0];

	(void)state;
	kernel.region[0] = kernel.region[1];
	kernel.region[0].offset = 4 * PAGE;
	kernel.region[1] = buffers;
	kernel.region[1].start = RINGS * 2;
	kernel.region[1].last = RINGS * 2 + PAGE - 1;
	kernel.n_regions = 1;
	kernel.memory_was_read = more_comes;
	assert_int_equal(set_status(RUNS), VDUSE_REQ_RESULT_OK);
	kernel.has_driver = true;
	assert_false(vduse_look(&v));
	assert_true(kernel.is_running[0] && kernel.is_running[1]);
	assert_int_equal(kernel.n_maps, 2);
}

static void
ring_that_is_ready_later_starts_later(void **state)
{
	(void)state;
	kernel.ring[1].ready = 0;
	assert_int_equal(set_status(RUNS), VDUSE_REQ_RESULT_OK);
	kernel.has_driver = true;
	set_index(kernel.ring[0].driver_addr, 1);
	assert_true(vduse_look(&v));
	assert_true(kernel.is_running[0] && !kernel.is_running[1]);
	kernel.ring[1].ready = 1;
	assert_false(vduse_look(&v));
	assert_true(kernel.is_running[1]);
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
		kernel.ring[0].num = rings[i].num;
		kernel.ring[0].desc_addr = rings[i].desc;
		set_index(kernel.ring[1].driver_addr, 1);
		assert_true(vduse_look(&v));
		assert_true(!kernel.is_running[0] && kernel.is_running[1]);
	}
}

static void
reset_ends_all(void **state)
{
	(void)state;
	run();
	kernel.stopped_at = (struct guest_ring_pos){.avail = 8, .used = 8};
	assert_int_equal(set_status(0), VDUSE_REQ_RESULT_OK);
	assert_nothing_runs();
	assert_int_equal(kernel.n_maps, 0);
	assert_int_equal(v.features, 0);
	assert_false(vduse_look(&v));
	kernel.n_listens = 0;
	run();
	assert_int_equal(kernel.n_listens, 1); // the kernel forgot, too
	assert_int_equal(kernel.started[0].pos.avail, 0);
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
		kernel.features = wrong[i];
		assert_int_equal(set_status(RUNS), VDUSE_REQ_RESULT_FAILED);
		kernel.has_driver = true;
		set_index(kernel.ring[0].driver_addr, 8);
		assert_false(vduse_look(&v));
	}
	kernel.features = AGREED;
	run();
}

static void
memory_that_goes_is_let_go(void **state)
{
	(void)state;
	run();
	kernel.stopped_at = (struct guest_ring_pos){.avail = 5, .used = 5};
	assert_int_equal(update_memory(0, UINT64_MAX), VDUSE_REQ_RESULT_OK);
	assert_nothing_runs();
	assert_int_equal(kernel.n_maps, 0);
	assert_false(vduse_look(&v));
	assert_int_equal(kernel.started[0].pos.avail, 5);
	assert_int_equal(update_memory(2, 1), VDUSE_REQ_RESULT_FAILED);
	assert_true(kernel.is_running[0]);
	// With the rings gone, they wait.
	assert_int_equal(update_memory(0, UINT64_MAX), VDUSE_REQ_RESULT_OK);
	kernel.n_regions = 1;
	assert_true(vduse_look(&v));
	assert_nothing_runs();
}

static void
memory_that_workers_may_not_write_is_left_out(void **state)
{
	(void)state;
	kernel.region[2] = (struct vduse_iotlb_entry){.start = RINGS * 2, .last = RINGS * 2, .perm = VDUSE_ACCESS_RO};
	kernel.region[3] = (struct vduse_iotlb_entry){.start = RINGS * 3, .last = RINGS * 3, .perm = VDUSE_ACCESS_WO};
	kernel.region[4] = (struct vduse_iotlb_entry){.start = RINGS * 4, .last = UINT64_MAX, .perm = VDUSE_ACCESS_RO};
	kernel.n_regions = 5;
	run();
	assert_int_equal(kernel.n_maps, 2);
}

static void
memory_that_cannot_be_mapped_is_tried_again(void **state)
{
	(void)state;
	kernel.n_failing_maps = 2;
	assert_int_equal(set_status(RUNS), VDUSE_REQ_RESULT_OK);
	kernel.has_driver = true;
	set_index(kernel.ring[0].driver_addr, 8);
	assert_true(vduse_look(&v));
	assert_nothing_runs();
	assert_false(vduse_look(&v));
}

static void
most_regions_are_known_and_one_more_is_not(void **state)
{
	(void)state;
	for (unsigned n = GUEST_MEM_MAX_REGIONS; n <= GUEST_MEM_MAX_REGIONS + 1; n++) {
		kernel.n_regions = n;
		for (unsigned i = 2; i < n; i++)
			kernel.region[i] = (struct vduse_iotlb_entry){.start = RINGS + i * UINT64_C(65536),
				.last = RINGS + i * UINT64_C(65536),
				.perm = VDUSE_ACCESS_RW};
		run();
		assert_int_equal(kernel.n_maps, GUEST_MEM_MAX_REGIONS);
		assert_int_equal(set_status(0), VDUSE_REQ_RESULT_OK);
	}
}

static void
state_of_rings_is_told(void **state)
{
	struct vduse_dev_request request = {.type = VDUSE_GET_VQ_STATE};
	struct vduse_dev_response response;

	(void)state;
	kernel.ring[0].split.avail_index = 77; // as another device left it
	assert_int_equal(ask(&request).vq_state.split.avail_index, 77);
	run();
	assert_int_equal(kernel.started[0].pos.avail, 77);
	kernel.stopped_at = (struct guest_ring_pos){.avail = 65535, .used = 65535};
	response = ask(&request);
	assert_int_equal(response.result, VDUSE_REQ_RESULT_OK);
	assert_int_equal(response.vq_state.index, 0);
	assert_int_equal(response.vq_state.split.avail_index, 65535);
	assert_false(vduse_look(&v)); // it goes on
	assert_int_equal(kernel.started[0].pos.used, 65535);
	request.vq_state.index = VDUSE_N_RINGS;
	assert_int_equal(ask(&request).result, VDUSE_REQ_RESULT_FAILED);
	request.vq_state.index = UINT32_MAX;
	assert_int_equal(ask(&request).result, VDUSE_REQ_RESULT_FAILED);
	assert_true(kernel.is_running[0] && kernel.is_running[1]);
}

static void
packed_rings_have_wraps(void **state)
{
	struct vduse_dev_request request = {.type = VDUSE_GET_VQ_STATE, .vq_state.index = 1};
	struct vduse_dev_response response;

	(void)state;
	kernel.features = OFFERED;
	for (unsigned i = 0; i < VDUSE_N_RINGS; i++)
		kernel.ring[i].packed = (struct vduse_vq_state_packed){1, 3, 1, 3};
	assert_int_equal(set_status(RUNS), VDUSE_REQ_RESULT_OK);
	kernel.has_driver = true;
	assert_true(vduse_look(&v));
	at(kernel.ring[0].desc_addr)[15] = 1;
	assert_false(vduse_look(&v));
	assert_true(kernel.started[1].is_packed && kernel.started[1].pos.avail_wrap && kernel.started[1].pos.used_wrap);
	assert_int_equal(kernel.started[1].pos.avail, 3);
	kernel.stopped_at = (struct guest_ring_pos){.avail = 9, .used = 8, .used_wrap = true};
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
	kernel.has_driver = true;
	set_index(kernel.ring[0].driver_addr, 200);
	set_index(kernel.ring[0].device_addr, 150);
	set_index(kernel.ring[1].device_addr, 65535);
	vduse_init(&v, &cfg);
	assert_int_equal(kernel.n_listens, 1);
	assert_int_equal(v.features, AGREED);
	assert_false(vduse_look(&v));
	assert_int_equal(kernel.started[0].pos.avail, 150);
	assert_int_equal(kernel.started[1].pos.used, 65535);
	assert_true(kernel.is_resumed[0] && kernel.is_resumed[1]);
	// What its program kept is older than what this one knows.
	assert_int_equal(update_memory(0, UINT64_MAX), VDUSE_REQ_RESULT_OK);
	assert_false(vduse_look(&v));
	assert_false(kernel.is_resumed[0] || kernel.is_resumed[1]);
	// After a reset it is a new device.
	assert_int_equal(set_status(0), VDUSE_REQ_RESULT_OK);
	run();
	assert_int_equal(kernel.started[0].pos.avail, 0);
}

// The kernel asked for the reset while no program was there, or before the rings were found.
static void
driver_that_came_since_begins_anew(void **state)
{
	(void)state;
	run();
	assert_false(kernel.is_resumed[0] || kernel.is_resumed[1]);
	vduse_fini(&v);
	kernel.has_driver = true;
	vduse_init(&v, &cfg);
	assert_int_equal(set_status(0), VDUSE_REQ_RESULT_OK);
	kernel.has_driver = false;
	run();
	assert_false(kernel.is_resumed[0] || kernel.is_resumed[1]);
}

static void
driver_of_another_device_does_not_go_on(void **state)
{
	(void)state;
	kernel.has_driver = true;
	kernel.features = AGREED | F(VIRTIO_NET_F_CTRL_VQ);
	set_index(kernel.ring[0].driver_addr, 200);
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
	assert_true(kernel.is_running[0] && kernel.is_running[1]);
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
		CASE(driver_that_came_since_begins_anew),
		CASE(driver_of_another_device_does_not_go_on),
		CASE(requests_of_other_kernels_are_refused),
		CASE(changes_are_known_before),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
