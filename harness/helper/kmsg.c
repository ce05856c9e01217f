// SPDX-License-Identifier: Apache-2.0
/* The kernel's log: what was added to it while a program ran. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "run.h"

#define MAX_LINES 200
#define MAX_LOG_LINE 1000
/* The kernel's own bound of a record. */
#define RECORD 8192

void kmsg_open(struct kmsg *kmsg)
{
	kmsg->fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	kmsg->error = errno;
	if (kmsg->fd < 0 || lseek(kmsg->fd, 0, SEEK_END) >= 0)
		return;
	kmsg->error = errno;
	close(kmsg->fd);
	kmsg->fd = -1;
}

static void report_line(struct shared *shared, const char *record, size_t size)
{
	/* The lines behind the first are a dictionary of devices and the like. */
	const char *newline = memchr(record, '\n', size);
	const char *end = newline ? newline : record + size;
	char *to = put_text(line_begin(shared), "log ");
	const char *last = to + MAX_LOG_LINE - 4;

	for (; record < end && to <= last; record++)
		to = escape(to, record, 1);
	line_end(shared, to);
}

void kmsg_report(struct kmsg *kmsg, struct shared *shared)
{
	char record[RECORD];

	if (kmsg->fd < 0) {
		line_end(shared, put_text(put_text(line_begin(shared), "log! "), strerror(kmsg->error)));
		return;
	}
	for (int lines = 0; lines < MAX_LINES;) {
		ssize_t size = read(kmsg->fd, record, sizeof(record));

		/* Records that were overwritten before they were read are skipped. */
		if (size < 0 && (errno == EPIPE || errno == EINTR))
			continue;
		if (size <= 0)
			break;
		report_line(shared, record, size);
		lines++;
	}
	close(kmsg->fd);
	kmsg->fd = -1;
}
