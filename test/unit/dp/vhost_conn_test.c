// The owner of each descriptor, without librte_vhost: numbers stand for descriptors, except for the
// one connection that is closed.
#include "../unit.h"
#include "vhost_conn.h"

#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define FIRST 100 // number of the first socket

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

static struct vhost_client client = {1, fault};

static void
end(int socket)
{
	struct vhost_conn *c = vhost_conn_at(socket);

	vhost_conn_close(c, false);
	vhost_conn_free(c);
}

static void
place_is_free_only_when_nothing_of_its_connection_is_left(void **state)
{
	struct vhost_conn *c;

	(void)state;
	for (int i = 0; i < VHOST_CONN_MAX; i++)
		assert_true(vhost_conn_add(FIRST + i, &client));
	assert_false(vhost_conn_add(FIRST + VHOST_CONN_MAX, &client));
	assert_int_equal(vhost_conn_owner(FIRST + VHOST_CONN_MAX), 0);
	c = vhost_conn_at(FIRST + 7);
	vhost_conn_close(c, false);
	assert_null(vhost_conn_at(FIRST + 7));
	assert_false(vhost_conn_add(FIRST + VHOST_CONN_MAX, &client));
	vhost_conn_free(c);
	assert_true(vhost_conn_add(FIRST + VHOST_CONN_MAX, &client));
	assert_ptr_equal(vhost_conn_at(FIRST + VHOST_CONN_MAX), c);
	for (int i = 0; i <= VHOST_CONN_MAX; i++)
		if (i != 7)
			end(FIRST + i);
}

static void
number_beyond_the_table_is_refused(void **state)
{
	(void)state;
	assert_true(vhost_conn_add(VHOST_CONN_FDS - 1, &client));
	assert_non_null(vhost_conn_at(VHOST_CONN_FDS - 1));
	end(VHOST_CONN_FDS - 1);
	assert_false(vhost_conn_add(VHOST_CONN_FDS, &client));
	assert_false(vhost_conn_add(-1, &client));
	assert_int_equal(vhost_conn_owner(VHOST_CONN_FDS), 0);
	assert_int_equal(vhost_conn_owner(-1), 0);
}

static void
descriptor_is_its_connections_until_it_is_closed(void **state)
{
	struct vhost_conn *a, *b;

	(void)state;
	assert_true(vhost_conn_add(FIRST, &client));
	assert_true(vhost_conn_add(FIRST + 1, &client));
	a = vhost_conn_at(FIRST);
	b = vhost_conn_at(FIRST + 1);
	vhost_conn_add_fd(a, 5);
	vhost_conn_add_fd(b, 6);
	vhost_conn_add_fd(a, VHOST_CONN_FDS - 1);
	assert_int_equal(vhost_conn_owner(5), vhost_conn_owner(FIRST));
	assert_int_equal(vhost_conn_owner(6), vhost_conn_owner(FIRST + 1));
	assert_null(vhost_conn_at(5)); // it is no socket
	vhost_conn_del_fd(5);
	vhost_conn_del_fd(5); // two that close it at once
	assert_int_equal(vhost_conn_owner(5), 0);
	assert_int_equal(atomic_load(&a->n_fds), 1);

	vhost_conn_close(a, true);
	assert_ptr_equal(vhost_conn_left(), a);
	assert_int_equal(vhost_conn_next_fd(a, -1), VHOST_CONN_FDS - 1);
	assert_int_equal(vhost_conn_next_fd(a, VHOST_CONN_FDS - 1), -1);
	vhost_conn_free(a);
	assert_null(vhost_conn_left());
	assert_int_equal(vhost_conn_owner(6), vhost_conn_owner(FIRST + 1));

	vhost_conn_close(b, false); // its thread closes the rest itself
	assert_null(vhost_conn_left());
	assert_int_equal(vhost_conn_next_fd(b, -1), 6);
	assert_int_equal(vhost_conn_next_fd(b, 6), -1);
	vhost_conn_free(b);
}

static void
only_a_broken_connection_is_hung_up_on(void **state)
{
	unsigned owner;
	int pair[2];
	char byte;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	assert_true(vhost_conn_add(pair[0], &client));
	owner = vhost_conn_owner(pair[0]);
	vhost_conn_hang_up_broken(owner, "early");
	assert_int_equal(n_faults, 0);
	assert_int_equal(recv(pair[1], &byte, 1, MSG_DONTWAIT), -1); // it is open
	vhost_conn_break(owner);
	assert_true(vhost_conn_is_broken(owner));
	vhost_conn_hang_up_broken(owner, "late");
	assert_int_equal(n_faults, 1);
	assert_string_equal(last_fault, "late");
	assert_true(was_costly);
	assert_int_equal(recv(pair[1], &byte, 1, MSG_DONTWAIT), 0); // it has ended
	end(pair[0]);
	vhost_conn_hang_up_broken(owner, "gone");
	assert_int_equal(n_faults, 1);

	assert_true(vhost_conn_add(pair[0], &client)); // the place's next connection
	assert_false(vhost_conn_is_broken(vhost_conn_owner(pair[0])));
	end(pair[0]);
	close(pair[0]);
	close(pair[1]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(place_is_free_only_when_nothing_of_its_connection_is_left),
		cmocka_unit_test(number_beyond_the_table_is_refused),
		cmocka_unit_test(descriptor_is_its_connections_until_it_is_closed),
		cmocka_unit_test(only_a_broken_connection_is_hung_up_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
