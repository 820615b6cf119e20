// The watcher beside a bench: which threads were kept from running, and when. A thread of the
// highest real-time priority on each CPU sleeps for a millisecond at a time. When it wakes late, no
// thread on this machine was the reason: its host had taken the CPU. One of them also reads how
// long the given threads were ready to run and waited (schedstat): that was this machine's own
// scheduler.
// usage: stalls [NAME=TID...]   until it is ended
// Output, a line each: "host CPU BEGIN END" and "NAME CPU BEGIN END", ns of CLOCK_REALTIME, for all
// of 200 us or more.
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define PERIOD_NS 1000000
#define THRESHOLD_NS 200000
#define MAX_CPUS 64
#define MAX_THREADS 16

struct watched {
	const char *name;
	char path[64];
	uint64_t waited_ns; // up to the last look
};

static struct watched watched[MAX_THREADS];
static unsigned n_watched;
static atomic_bool is_over;

static uint64_t
now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void
say(const char *name, int cpu, uint64_t begin_ns, uint64_t end_ns)
{
	flockfile(stdout);
	printf("%s %d %llu %llu\n", name, cpu, (unsigned long long)begin_ns, (unsigned long long)end_ns);
	funlockfile(stdout);
}

// False: the thread has ended.
static bool
read_waited(const struct watched *w, uint64_t *ret_ns)
{
	unsigned long long ran, waited;
	FILE *f = fopen(w->path, "r");
	bool is_read = f && fscanf(f, "%llu %llu", &ran, &waited) == 2;

	if (f)
		fclose(f);
	if (is_read)
		*ret_ns = waited;
	return is_read;
}

static void
look(int cpu)
{
	for (unsigned i = 0; i < n_watched; i++) {
		uint64_t waited_ns, end_ns = now_ns();

		if (!read_waited(&watched[i], &waited_ns))
			continue;
		if (waited_ns - watched[i].waited_ns >= THRESHOLD_NS)
			say(watched[i].name, cpu, end_ns - (waited_ns - watched[i].waited_ns), end_ns);
		watched[i].waited_ns = waited_ns;
	}
}

static void *
watch_cpu(void *arg)
{
	int cpu = (int)(intptr_t)arg;
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (pthread_setaffinity_np(pthread_self(), sizeof(set), &set))
		return NULL; // offline, or not ours
	for (uint64_t slept_ns = now_ns(); !atomic_load(&is_over); slept_ns = now_ns()) {
		nanosleep(&(struct timespec){.tv_nsec = PERIOD_NS}, NULL);

		uint64_t awake_ns = now_ns();

		if (awake_ns - slept_ns >= PERIOD_NS + THRESHOLD_NS)
			say("host", cpu, slept_ns + PERIOD_NS, awake_ns);
		if (cpu == 0)
			look(cpu);
	}
	return NULL;
}

static int
add_thread(char *arg)
{
	char *tid = strchr(arg, '=');

	if (!tid || n_watched == MAX_THREADS)
		return -1;
	*tid++ = '\0';
	watched[n_watched].name = arg;
	snprintf(watched[n_watched].path, sizeof(watched[n_watched].path), "/proc/%s/schedstat", tid);
	return read_waited(&watched[n_watched], &watched[n_watched].waited_ns) ? (int)n_watched++ : -1;
}

int
main(int argc, char **argv)
{
	long n_cpus = sysconf(_SC_NPROCESSORS_ONLN);
	struct sched_param param = {.sched_priority = sched_get_priority_max(SCHED_FIFO)};
	pthread_t threads[MAX_CPUS];
	sigset_t set;
	int signal;

	for (int i = 1; i < argc; i++) {
		if (add_thread(argv[i]) < 0) {
			fprintf(stderr, "stalls: '%s' is no NAME=TID of a thread, or more than %d of them\n", argv[i],
				MAX_THREADS);
			return 2;
		}
	}
	if (n_cpus > MAX_CPUS)
		n_cpus = MAX_CPUS;
	if (mlockall(MCL_CURRENT | MCL_FUTURE) || sched_setscheduler(0, SCHED_FIFO, &param)) {
		perror("stalls: real-time priority");
		return 1;
	}
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	for (long i = 0; i < n_cpus; i++) {
		if (pthread_create(&threads[i], NULL, watch_cpu, (void *)(intptr_t)i)) {
			fprintf(stderr, "stalls: no thread for CPU %ld\n", i);
			return 1;
		}
	}
	sigwait(&set, &signal);
	atomic_store(&is_over, true);
	for (long i = 0; i < n_cpus; i++)
		pthread_join(threads[i], NULL);
	return 0;
}
