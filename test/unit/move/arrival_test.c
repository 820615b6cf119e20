// The directory of a domain that libvirt starts gets the memory's second name, and its QEMU the
// capability, but only one whose memory is the source's. libvirt is a thread that makes the
// directory, and the QEMU a fake that answers on a socket: this process itself.
#include "../unit.h"
#include "arrival.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BYTES 4096

struct place {
	char dir[64], qmp[128], file[128];
	void *memory;
	int listener;
	pthread_t qemu, mover;
	bool has_qemu;
	char asked[1024];
	atomic_size_t n_asked;
	struct arrival a;
	atomic_int n_ready;
};

static void
is_directory_of_the_domain(void **state)
{
	(void)state;
	assert_true(arrival_is_of("1-web", "web"));
	assert_true(arrival_is_of("123-web", "web"));
	assert_false(arrival_is_of("web", "web"));
	assert_false(arrival_is_of("-web", "web"));
	assert_false(arrival_is_of("1-web1", "web"));
	assert_false(arrival_is_of("1-we", "web"));
	assert_true(arrival_is_of("1-12345678901234567890", "12345678901234567890"));
	assert_true(arrival_is_of("1-12345678901234567890", "123456789012345678901"));
	assert_false(arrival_is_of("1-123456789012345678901", "123456789012345678901"));
	assert_true(arrival_is_plain_name("web-1_a.b+"));
	assert_false(arrival_is_plain_name(""));
	assert_false(arrival_is_plain_name("a b"));
	assert_false(arrival_is_plain_name("w\xc3\xa4h"));
}

static void
say(int fd, const char *text)
{
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

// Answers each command with success until the other side leaves.
static void *
be_qemu(void *ctx)
{
	struct place *p = ctx;
	int fd = accept(p->listener, NULL, NULL);
	size_t len = 0;
	ssize_t n;

	assert_true(fd >= 0);
	say(fd, "{\"QMP\": {\"version\": {}, \"capabilities\": []}}\r\n");
	while ((n = read(fd, p->asked + len, sizeof(p->asked) - 1 - len)) > 0) {
		len += (size_t)n;
		p->n_asked = len;
		if (memchr(p->asked + len - (size_t)n, '}', (size_t)n))
			say(fd, "{\"return\": {}}\r\n");
	}
	close(fd);
	return NULL;
}

static void *
run(void *ctx)
{
	arrival_run(ctx);
	return NULL;
}

static void
count_ready(void *ctx)
{
	struct place *p = ctx;

	p->n_ready++;
}

static void
begin(struct place *p, bool is_mapped)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd;

	*p = (struct place){.dir = "/tmp/rtvs-arrival-XXXXXX"};
	assert_non_null(mkdtemp(p->dir));
	snprintf(p->qmp, sizeof(p->qmp), "%s/qmp", p->dir);
	snprintf(p->file, sizeof(p->file), "%s/pc.ram", p->dir);
	fd = open(p->file, O_RDWR | O_CREAT, 0600);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, BYTES), 0);
	p->memory = is_mapped ? mmap(NULL, BYTES, PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;
	close(fd);
	memcpy(address.sun_path, p->qmp, strlen(p->qmp));
	p->listener = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(p->listener, (struct sockaddr *)&address, sizeof(address)), 0);
	p->a = (struct arrival){.dir = p->dir,
		.name = "web",
		.qmp_path = p->qmp,
		.n_files = 1,
		.files = {p->file},
		.ready = count_ready,
		.ctx = p};
	assert_int_equal(arrival_begin(&p->a), 0);
}

static void
begin_to_run(struct place *p, bool is_mapped)
{
	begin(p, is_mapped);
	assert_int_equal(pthread_create(&p->mover, NULL, run, &p->a), 0);
}

static void
make(struct place *p, const char *name)
{
	char path[192];

	snprintf(path, sizeof(path), "%s/%s", p->dir, name);
	assert_int_equal(mkdir(path, 0700), 0);
}

static bool
has_file(const struct place *p, const char *name)
{
	char path[192];

	snprintf(path, sizeof(path), "%s/%s/pc.ram", p->dir, name);
	return !access(path, F_OK);
}

static void
start_qemu(struct place *p)
{
	assert_int_equal(listen(p->listener, 1), 0);
	p->has_qemu = !pthread_create(&p->qemu, NULL, be_qemu, p);
	assert_true(p->has_qemu);
}

static void
end(struct place *p)
{
	char command[192];

	p->a.is_over = true;
	if (p->has_qemu)
		pthread_join(p->mover, NULL);
	arrival_end(&p->a);
	if (p->has_qemu)
		pthread_join(p->qemu, NULL);
	close(p->listener);
	if (p->memory != MAP_FAILED)
		munmap(p->memory, BYTES);
	snprintf(command, sizeof(command), "rm -r %s", p->dir);
	assert_int_equal(system(command), 0);
}

// Until the link is there, or the QEMU was asked. Bounded by the test's time limit.
#define WAIT(condition)      \
	while (!(condition)) \
	usleep(1000)

static void
the_sources_memory_gets_the_capability(void **state)
{
	struct place *p = malloc(sizeof(*p));
	struct stat a, b;
	char path[192];

	(void)state;
	begin_to_run(p, true);
	make(p, "1-other");
	make(p, "2-web");
	WAIT(has_file(p, "2-web"));
	assert_false(has_file(p, "1-other"));
	snprintf(path, sizeof(path), "%s/2-web/pc.ram", p->dir);
	assert_int_equal(stat(p->file, &a), 0);
	assert_int_equal(stat(path, &b), 0);
	assert_int_equal(a.st_ino, b.st_ino);
	// A second directory of this name is none of this move.
	make(p, "3-web");
	start_qemu(p);
	WAIT(p->n_ready);
	assert_false(has_file(p, "3-web"));
	end(p);
	assert_true(p->a.is_ready);
	assert_string_equal(p->a.err, "");
	assert_int_equal(p->a.pid, getpid());
	assert_int_equal(p->n_ready, 1);
	assert_non_null(strstr(p->asked, "x-ignore-shared"));
	free(p);
}

static void
other_memory_does_not(void **state)
{
	struct place *p = malloc(sizeof(*p));

	(void)state;
	begin_to_run(p, false);
	make(p, "2-web");
	WAIT(has_file(p, "2-web"));
	start_qemu(p);
	WAIT(p->n_asked);
	end(p);
	assert_false(p->a.is_ready);
	assert_string_equal(p->a.err, "the destination's memory is not the source's file");
	assert_int_equal(p->n_ready, 0);
	assert_null(strstr(p->asked, "x-ignore-shared"));
	free(p);
}

static void
memory_that_went_is_reported(void **state)
{
	struct place *p = malloc(sizeof(*p));

	(void)state;
	begin(p, true);
	assert_int_equal(unlink(p->file), 0); // the source ended
	make(p, "2-web");
	p->a.is_over = true; // one turn is enough
	arrival_run(&p->a);
	end(p);
	assert_false(p->a.is_ready);
	assert_non_null(strstr(p->a.err, "the memory's second name"));
	free(p);
}

static void
no_directory_to_watch(void **state)
{
	struct arrival a = {.dir = "/nosuch"};

	(void)state;
	assert_int_equal(arrival_begin(&a), -ENOENT);
	arrival_end(&a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(is_directory_of_the_domain),
		cmocka_unit_test(the_sources_memory_gets_the_capability),
		cmocka_unit_test(other_memory_does_not),
		cmocka_unit_test(memory_that_went_is_reported),
		cmocka_unit_test(no_directory_to_watch),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
