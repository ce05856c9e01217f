// SPDX-License-Identifier: Apache-2.0
/* What the kernel says of a process: fields of /proc/self/status. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "actor.h"

static ssize_t read_status(char *text, size_t room)
{
	int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC), error;
	ssize_t size;

	if (fd < 0)
		return -1;
	size = read(fd, text, room - 1);
	error = errno;
	close(fd);
	errno = error;
	if (size >= 0)
		text[size] = 0;
	return size;
}

/* Where the value of `FIELD:` begins, or NULL. */
static const char *value_of(const char *text, const char *field)
{
	size_t length = strlen(field);

	for (; text; text = strchr(text, '\n')) {
		text += *text == '\n';
		if (!strncmp(text, field, length) && text[length] == ':')
			return text + length + 1;
	}
	return NULL;
}

/* Masks of capabilities and signals are hex, without a prefix. */
static int base_of(const char *field)
{
	static const char *const hex[] = { "Cap", "Sig", "Shd" };

	for (int i = 0; i < 3; i++)
		if (!strncmp(field, hex[i], 3) && strcmp(field, "SigQ"))
			return 16;
	return 10;
}

/* status FIELD */
void op_status(struct actor *actor, const struct call *call, uint32_t iteration, struct outcome *outcome)
{
	static char text[8192];
	const char *field = call->value[0].text, *value;
	char *end;

	(void)actor;
	(void)iteration;
	if (read_status(text, sizeof(text)) < 0) {
		fail(outcome, errno);
		return;
	}
	value = value_of(text, field);
	if (!value) {
		fail(outcome, ENOENT);
		return;
	}
	outcome->ret = strtoull(value, &end, base_of(field));
	if (end == value)
		bad(outcome, "this field has no number:", field);
}
