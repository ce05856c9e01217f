// SPDX-License-Identifier: Apache-2.0
/* The memory that a program's processes share. Most of it is only address space until something is written there. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "run.h"

#define MAGIC 0x76666366686c7072ull

static size_t aligned(size_t size)
{
	return (size + 0xffff) & ~(size_t)0xffff;
}

static uint32_t longest_repeat(const struct program *program)
{
	uint32_t longest = 0;

	for (uint32_t i = 0; i < program->repeat_count; i++)
		if (program->repeats[i].calls > longest)
			longest = program->repeats[i].calls;
	return longest;
}

static struct shared *map(int fd, size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

int shared_make(struct shared **shared, const struct program *program, const char *source, size_t size)
{
	size_t text_at = aligned(sizeof(struct shared));
	size_t pending_at = text_at + aligned(TEXT_ROOM);
	size_t kept_at = pending_at + aligned(longest_repeat(program) * sizeof(struct pending));
	size_t source_at = kept_at + aligned(MAX_KEPT_TOTAL);
	size_t total = source_at + aligned(size);
	int low = memfd_create("vfio-conform", MFD_CLOEXEC), fd;

	if (low < 0)
		return -1;
	fd = fcntl(low, F_DUPFD_CLOEXEC, OWN_FD);
	if (fd < 0)
		fd = low;
	else
		close(low);
	if (ftruncate(fd, total) || !(*shared = map(fd, total)))
		return -1;
	(*shared)->magic = MAGIC;
	(*shared)->size = total;
	(*shared)->text_at = text_at;
	(*shared)->pending_at = pending_at;
	(*shared)->kept_at = kept_at;
	(*shared)->source_at = source_at;
	(*shared)->source_size = size;
	if (program->has_exec)
		memcpy((char *)*shared + source_at, source, size);
	return fd;
}

struct shared *shared_map(int fd)
{
	struct stat status;
	struct shared *shared;

	if (fstat(fd, &status) || status.st_size < (off_t)sizeof(*shared))
		return NULL;
	shared = map(fd, status.st_size);
	if (shared && (shared->magic != MAGIC || shared->size != (size_t)status.st_size))
		return NULL;
	return shared;
}

void shared_wait(_Atomic uint32_t *word, uint32_t seen, int timeout_ms)
{
	struct timespec timeout = { timeout_ms / 1000, timeout_ms % 1000 * 1000000l };

	syscall(SYS_futex, word, FUTEX_WAIT, seen, timeout_ms < 0 ? NULL : &timeout, NULL, 0);
}

void shared_wake(_Atomic uint32_t *word)
{
	atomic_fetch_add(word, 1);
	syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

void shared_clear(_Atomic uint32_t *word)
{
	atomic_store(word, 0);
	syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
}
