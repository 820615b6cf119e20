// The pool: objects do not overlap, are used again, and end at the limit.
#include "../unit.h"
#include "pool.h"

#include <errno.h>
#include <string.h>

#define MAX 8192u
#define SIZE 56u // not a multiple of any alignment's

static void
objects_are_apart_and_end_at_the_limit(void **state)
{
	static unsigned char *objects[MAX];
	struct pool p;
	void *object;

	(void)state;
	pool_init(&p, SIZE, MAX);
	for (unsigned i = 0; i < MAX; i++) {
		assert_int_equal(pool_get(&p, &object), 0);
		assert_int_equal((uintptr_t)object % _Alignof(max_align_t), 0);
		objects[i] = object;
		memset(object, (int)(i % 251), SIZE);
	}
	for (unsigned i = 0; i < MAX; i++)
		for (unsigned k = 0; k < SIZE; k++)
			assert_int_equal(objects[i][k], i % 251);
	object = NULL;
	assert_int_equal(pool_get(&p, &object), -ENOSPC);
	assert_null(object);
	pool_put(&p, objects[77]);
	assert_int_equal(pool_get(&p, &object), 0);
	assert_ptr_equal(object, objects[77]);
	pool_fini(&p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(objects_are_apart_and_end_at_the_limit),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
