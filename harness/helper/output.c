// SPDX-License-Identifier: Apache-2.0
/* What the supervisor writes: the text that actors leave in the shared memory, and its own. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include "supervisor.h"

void write_all(const char *text, size_t size)
{
	while (size) {
		ssize_t wrote = write(run.output, text, size);

		if (wrote < 0 && errno == EINTR)
			continue;
		/* Whoever gave us this descriptor may have made it one that does not wait. */
		if (wrote < 0 && errno == EAGAIN && poll(&(struct pollfd){ run.output, POLLOUT, 0 }, 1, -1) > 0)
			continue;
		/* Nobody listens: with this process everything it started goes. */
		if (wrote <= 0)
			_exit(RUN_BROKEN);
		text += wrote;
		size -= wrote;
	}
}

void drain(void)
{
	size_t head = atomic_load(&run.shared->head);

	write_all(shared_text(run.shared) + run.written, head - run.written);
	run.written = head;
}

void empty(struct shared *shared)
{
	size_t used = atomic_load(&shared->head);

	drain();
	run.written = 0;
	atomic_store(&shared->head, 0);
	/* What one huge line took is given back to the system. */
	if (used > 4 * TEXT_SOFT)
		(void)!fallocate(run.shared_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, shared->text_at, used);
}

/* Lets out what was observed; runs of equal outcomes are cut, so that a crash of the machine loses little of them. */
void tick(moment time)
{
	if (time - run.last_tick < TICK_MS * 1000)
		return;
	run.last_tick = time;
	drain();
	atomic_fetch_or(&run.shared->attend, ATTEND_FLUSH);
}
