// usage: NOUN_replay DIRECTORY...
//
// Feeds every file of the directories to a fuzz target, without a fuzzer and with any compiler:
// corpus and past crashes are part of the unit suite. A crash is a failure by itself; no file at
// all is one, too.
#include <dirent.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#define REPLAY_MAX (1u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t len);

// A buffer of exactly the file's length, so that a sanitizer sees any byte read too many.
static bool
replay_file(const char *path)
{
	static uint8_t bytes[REPLAY_MAX];
	FILE *file = fopen(path, "rb");

	if (!file)
		return false;
	size_t len = fread(bytes, 1, sizeof(bytes), file);
	fclose(file);
	uint8_t *input = malloc(len + !len);
	if (!input)
		return false;
	for (size_t i = 0; i < len; i++)
		input[i] = bytes[i];
	fprintf(stderr, "%s\n", path); // the last one named is the one that crashed
	LLVMFuzzerTestOneInput(input, len);
	free(input);
	return true;
}

static unsigned
replay_directory(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	unsigned n = 0;

	while (dir && (entry = readdir(dir))) {
		char name[4096];
		struct stat st;

		if (entry->d_name[0] == '.' ||
			snprintf(name, sizeof(name), "%s/%s", path, entry->d_name) >= (int)sizeof(name))
			continue;
		n += stat(name, &st) == 0 && S_ISREG(st.st_mode) && replay_file(name);
	}
	if (dir)
		closedir(dir);
	return n;
}

int
main(int argc, char **argv)
{
	unsigned n = 0;

	for (int i = 1; i < argc; i++)
		n += replay_directory(argv[i]);
	fprintf(stderr, "%u files\n", n);
	return n ? 0 : 1;
}
