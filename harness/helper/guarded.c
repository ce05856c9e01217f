// SPDX-License-Identifier: Apache-2.0
/*
 * Buffers for system calls. They lie in one region of guard bytes, near its end, behind which nothing can be touched:
 *
 *	guard bytes ... | GUARD_BYTES | buffer | GUARD_BYTES to GUARD_BYTES + 7 | PROT_NONE
 */
#include <string.h>
#include <sys/mman.h>

#include "actor.h"

/* A buffer up to this size is filled with guard bytes again when it is given back; a larger one's pages are dropped. */
#define SMALL (64u << 10)

static struct {
	uint8_t *start;
	uint8_t *limit;
	/* From here to the limit everything is guard bytes, but for the buffer that is taken. */
	uint8_t *filled;
	uint8_t *buffer;
	size_t size;
	/* What GUARD_BYTES look like. */
	uint8_t pattern[GUARD_BYTES + 8];
} region;

bool guarded_init(struct actor *actor)
{
	size_t room = MAX_DATA + 4 * actor->page;
	uint8_t *whole = mmap(NULL, room + 2 * actor->page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (whole == MAP_FAILED)
		return false;
	region.start = whole + actor->page;
	region.limit = region.start + room;
	region.filled = region.limit;
	memset(region.pattern, GUARD_BYTE, sizeof(region.pattern));
	/* Small pages: only the last few are ever used by most programs. */
	madvise(region.start, room, MADV_NOHUGEPAGE);
	return !mprotect(region.start, room, PROT_READ | PROT_WRITE);
}

uint8_t *guarded_take(size_t size)
{
	uintptr_t last = (uintptr_t)region.limit - GUARD_BYTES - size;
	uint8_t *buffer = (uint8_t *)(last & ~(uintptr_t)7);
	uint8_t *low = buffer - GUARD_BYTES;

	region.buffer = buffer;
	region.size = size;
	if (size > SMALL) {
		memset(low, GUARD_BYTE, GUARD_BYTES);
		memset(buffer + size, GUARD_BYTE, region.limit - buffer - size);
	} else if (low < region.filled) {
		memset(low, GUARD_BYTE, region.filled - low);
		region.filled = low;
	}
	return buffer;
}

static void list_trampled(const uint8_t *buffer, uint8_t *from, const uint8_t *to, struct outcome *outcome)
{
	for (; from < to; from++) {
		if (*from == GUARD_BYTE)
			continue;
		if (outcome->trampled_count < MAX_TRAMPLED)
			outcome->trampled[outcome->trampled_count++] = from - buffer;
		*from = GUARD_BYTE;
	}
}

void guarded_check(const uint8_t *buffer, size_t size, struct outcome *outcome)
{
	uint8_t *low = region.buffer - GUARD_BYTES, *high = region.buffer + size;

	if (memcmp(low, region.pattern, GUARD_BYTES))
		list_trampled(buffer, low, buffer, outcome);
	if (memcmp(high, region.pattern, region.limit - high))
		list_trampled(buffer, high, region.limit, outcome);
}

void guarded_give_back(void)
{
	if (!region.buffer)
		return;
	if (region.size > SMALL) {
		madvise(region.start, region.limit - region.start, MADV_DONTNEED);
		region.filled = region.limit;
	} else {
		memset(region.buffer, GUARD_BYTE, region.size);
	}
	region.buffer = NULL;
}
