// Numbers of connections: numbers stand for sockets, except for the one that is hung up on.
#include "../unit.h"
#include "vhost_owner.h"

#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define NO_SOCKET 100000

static unsigned n_faults;
static char last_fault[64];
static bool was_costly;

static void
fault(struct vhost_client *client, const char *why, bool is_costly)
{
	(void)client;
	n_faults++;
	(void)snprintf(last_fault, sizeof(last_fault), "%s", why);
	was_costly = is_costly;
}

static struct vhost_client client = {fault};

static void
each_connection_has_a_number_and_one_more_has_none(void **state)
{
	(void)state;
	for (unsigned i = 1; i <= VHOST_OWNERS; i++)
		assert_int_equal(vhost_owner_add(NO_SOCKET, &client), i);
	assert_int_equal(vhost_owner_add(NO_SOCKET, &client), 0);
	vhost_owner_del(7);
	assert_int_equal(vhost_owner_add(NO_SOCKET, &client), 7);
	for (unsigned i = 1; i <= VHOST_OWNERS; i++)
		vhost_owner_del(i);
}

static void
only_a_broken_connection_is_hung_up_on(void **state)
{
	unsigned owner;
	int pair[2];
	char byte;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	owner = vhost_owner_add(pair[0], &client);
	vhost_owner_hang_up(owner, "early");
	assert_int_equal(n_faults, 0);
	assert_int_equal(recv(pair[1], &byte, 1, MSG_DONTWAIT), -1); // it is open
	vhost_owner_break(owner);
	assert_true(vhost_owner_is_broken(owner));
	vhost_owner_hang_up(owner, "late");
	assert_int_equal(n_faults, 1);
	assert_string_equal(last_fault, "late");
	assert_true(was_costly);
	assert_int_equal(recv(pair[1], &byte, 1, MSG_DONTWAIT), 0); // it has ended
	vhost_owner_del(owner);
	vhost_owner_hang_up(owner, "gone");
	assert_int_equal(n_faults, 1);

	assert_int_equal(vhost_owner_add(pair[0], &client), owner); // the number's next connection
	assert_false(vhost_owner_is_broken(owner));
	vhost_owner_del(owner);
	close(pair[0]);
	close(pair[1]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_connection_has_a_number_and_one_more_has_none),
		cmocka_unit_test(only_a_broken_connection_is_hung_up_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
