// QEMU 7 to 11 write, once for each character device (chardev/char-socket.c,
// check_report_connect_error): ... Unable to connect character device charnet1: Failed to connect
// to '/run/rtvswitch/vm1.sock': No such file or directory
#include "qemu_log.h"

#include <string.h>

#define COMPLAINT "Unable to connect character device "
#define BEFORE_PATH ": Failed to connect to '"

static bool
read_path(const char *line, char ret_path[DOMAIN_PATH_SIZE])
{
	size_t dir_len = strlen(DOMAIN_RUN_DIR "/"), len = strcspn(line, "\n");
	const char *path = memmem(line, len, BEFORE_PATH, strlen(BEFORE_PATH)), *end;

	if (!path)
		return false;
	path += strlen(BEFORE_PATH);
	end = memmem(path, len - (size_t)(path - line), "': ", 3);
	if (!end || strncmp(path, DOMAIN_RUN_DIR "/", dir_len) || end - path >= DOMAIN_PATH_SIZE ||
		(size_t)(end - path) == dir_len || memchr(path + dir_len, '/', (size_t)(end - path) - dir_len))
		return false;
	memcpy(ret_path, path, (size_t)(end - path));
	ret_path[end - path] = '\0';
	return true;
}

bool
qemu_log_socket(const char *text, char ret_path[DOMAIN_PATH_SIZE])
{
	bool is_found = false;

	while ((text = strstr(text, COMPLAINT))) {
		text += strlen(COMPLAINT);
		is_found |= read_path(text, ret_path);
	}
	return is_found;
}
