// usage: vduse_fake NAME
//
// A fake VDUSE network device with one queue pair, for tests of what handles devices of the
// kernel's vDPA bus. It agrees to every message and moves no packets. It says "ready" once the
// device exists, and ends with its standard input. A stopped fake is a daemon that hangs; a killed
// one leaves its device behind, as a killed daemon does.
#include <errno.h>
#include <fcntl.h>
#include <linux/vduse.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_net.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define N_QUEUES 2
#define QUEUE_SIZE 256

static const struct virtio_net_config config = {
	.mac = {0x52, 0x54, 0, 0xfa, 0xce, 1}, .status = VIRTIO_NET_S_LINK_UP, .mtu = 1400};

static int
wrong(const char *what)
{
	fprintf(stderr, "vduse_fake: %s: %s\n", what, strerror(errno));
	return 1;
}

static int
create(int control, const char *name)
{
	union {
		struct vduse_dev_config dev;
		char bytes[sizeof(struct vduse_dev_config) + sizeof(config)];
	} u = {.dev = {.vendor_id = 1,
		       .device_id = VIRTIO_ID_NET,
		       .features = 1ull << VIRTIO_F_VERSION_1 | 1ull << VIRTIO_F_ACCESS_PLATFORM |
			       1ull << VIRTIO_NET_F_MAC | 1ull << VIRTIO_NET_F_MTU | 1ull << VIRTIO_NET_F_STATUS,
		       .vq_num = N_QUEUES,
		       .vq_align = 4096,
		       .config_size = sizeof(config)}};
	uint64_t version = VDUSE_API_VERSION;

	(void)snprintf(u.dev.name, sizeof(u.dev.name), "%s", name);
	memcpy(u.dev.config, &config, sizeof(config));
	if (ioctl(control, VDUSE_SET_API_VERSION, &version))
		return -1;
	return ioctl(control, VDUSE_CREATE_DEV, &u);
}

static void
answer(int dev)
{
	struct vduse_dev_request request;
	struct vduse_dev_response response = {0};

	if (read(dev, &request, sizeof(request)) != sizeof(request))
		return;
	response.request_id = request.request_id;
	if (request.type == VDUSE_GET_VQ_STATE)
		response.vq_state.index = request.vq_state.index;
	(void)!write(dev, &response, sizeof(response));
}

int
main(int argc, char **argv)
{
	struct pollfd fds[2] = {{.fd = STDIN_FILENO, .events = POLLIN}, {.events = POLLIN}};
	char name[VDUSE_NAME_MAX] = "", path[300];
	int control;

	if (argc != 2)
		return 2;
	(void)snprintf(name, sizeof(name), "%s", argv[1]);
	control = open("/dev/vduse/control", O_RDWR | O_CLOEXEC);
	if (control < 0)
		return wrong("/dev/vduse/control");
	if (create(control, name) && errno != EEXIST)
		return wrong("create");
	(void)snprintf(path, sizeof(path), "/dev/vduse/%s", name);
	fds[1].fd = open(path, O_RDWR | O_CLOEXEC);
	if (fds[1].fd < 0)
		return wrong(path);
	for (unsigned i = 0; i < N_QUEUES; i++)
		if (ioctl(fds[1].fd, VDUSE_VQ_SETUP, &(struct vduse_vq_config){.index = i, .max_size = QUEUE_SIZE}) &&
			errno != EPERM)
			return wrong("queue");
	puts("ready");
	fflush(stdout);
	while (poll(fds, 2, -1) > 0 && !fds[0].revents)
		if (fds[1].revents)
			answer(fds[1].fd);
	close(fds[1].fd);
	(void)ioctl(control, VDUSE_DESTROY_DEV, name);
	return 0;
}
