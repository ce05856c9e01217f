// SPDX-License-Identifier: Apache-2.0
/* Memory: mapped, protected, taken away. */
#define _GNU_SOURCE
#include <string.h>
#include <sys/mman.h>

#include "actor.h"

/* Far from where the kernel puts what nobody asked a place for, so that a hole is filled by nobody but `at=`. */
#define FIRST_PLACE 0x100000000000ull
#define LAST_PLACE 0x700000000000ull
/* Pages left between two memories, beside the guards. */
#define ROOM_PAGES 16

static const int protections[] = {
	[PROT_none] = PROT_NONE,
	[PROT_r] = PROT_READ,
	[PROT_w] = PROT_WRITE,
	[PROT_rw] = PROT_READ | PROT_WRITE,
};

/* What shall be mapped. Sizes in bytes; `length` is whole pages of the mapping's kind. */
struct wanted {
	uint64_t length;
	uint64_t align;
	size_t margin;
	int prot;
	int flags;
	int fd;
	uint64_t file_offset;
	const struct place *at;
};

static uint64_t round_up(uint64_t value, uint64_t unit)
{
	return (value + unit - 1) / unit * unit;
}

static bool map_at(uintptr_t start, uint64_t length, int prot, int flags, int fd, uint64_t offset)
{
	void *got = mmap((void *)start, length, prot, flags, fd, offset);

	if (got == MAP_FAILED)
		return false;
	if (got == (void *)start)
		return true;
	/* A kernel that does not know MAP_FIXED_NOREPLACE takes the address for a hint. */
	munmap(got, length);
	errno = EEXIST;
	return false;
}

static bool map_guard(uintptr_t start, size_t size, int prot, int flags)
{
	return map_at(start, size, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | flags, -1, 0);
}

/* Keeps a free place with a page on both sides that cannot be touched; 0 when there is none. */
static uintptr_t reserve(struct actor *actor, const struct wanted *wanted)
{
	size_t side = wanted->margin + actor->page;
	uint64_t room = ROOM_PAGES * actor->page;

	if (!actor->next_place)
		actor->next_place = FIRST_PLACE;
	while (actor->next_place + wanted->length + wanted->align + 2 * side < LAST_PLACE) {
		uintptr_t start = round_up(actor->next_place + side, wanted->align);

		actor->next_place = round_up(start + wanted->length + side, actor->page) + room;
		if (map_guard(start - side, wanted->length + 2 * side, PROT_NONE, MAP_FIXED_NOREPLACE))
			return start;
		if (errno != EEXIST)
			return 0;
		/* Something was put here by `at=`. */
	}
	errno = ENOMEM;
	return 0;
}

/* Maps where nothing is mapped: inside a place that was reserved. */
static uintptr_t map_anywhere(struct actor *actor, const struct wanted *wanted)
{
	uintptr_t start = reserve(actor, wanted);
	size_t side = wanted->margin + actor->page;
	int error;

	if (!start)
		return 0;
	if (map_at(start, wanted->length, wanted->prot, wanted->flags | MAP_FIXED, wanted->fd, wanted->file_offset) &&
	    (!wanted->margin ||
	     (map_guard(start - wanted->margin, wanted->margin, PROT_READ | PROT_WRITE, MAP_FIXED) &&
	      map_guard(start + wanted->length, wanted->margin, PROT_READ | PROT_WRITE, MAP_FIXED))))
		return start;
	error = errno;
	munmap((void *)(start - side), wanted->length + 2 * side);
	errno = error;
	return 0;
}

/* Maps at a place that the program chose; pages beside it are guards where nothing else is. */
static bool map_there(struct actor *actor, const struct wanted *wanted, uintptr_t start)
{
	int prot = wanted->margin ? PROT_READ | PROT_WRITE : PROT_NONE;
	uintptr_t end = start + wanted->length;

	if (!map_at(start, wanted->length, wanted->prot, wanted->flags | MAP_FIXED_NOREPLACE, wanted->fd,
		    wanted->file_offset))
		return false;
	if ((map_guard(start - actor->page, actor->page, prot, MAP_FIXED_NOREPLACE) || !wanted->margin) &&
	    (map_guard(end, actor->page, prot, MAP_FIXED_NOREPLACE) || !wanted->margin))
		return true;
	/* Guard pages were asked for and something else is there. */
	munmap((void *)start, wanted->length);
	errno = EEXIST;
	return false;
}

/* Maps what is wanted; NULL with the outcome failed when it cannot be. */
static struct memory *establish(struct actor *actor, const struct call *call, const struct wanted *wanted,
				struct outcome *outcome)
{
	struct memory *memory = &actor->memories[call->value[0].name];
	uintptr_t start = 0;

	if (memory->there) {
		bad(outcome, "this memory is there already:", actor->program->mems[call->value[0].name]);
		return NULL;
	}
	if (!wanted->length) {
		fail(outcome, EINVAL);
		return NULL;
	}
	if (wanted->at) {
		if (!address_of(actor, wanted->at, &start, outcome))
			return NULL;
		if (!map_there(actor, wanted, start)) {
			fail(outcome, errno);
			return NULL;
		}
	} else {
		start = map_anywhere(actor, wanted);
		if (!start) {
			fail(outcome, errno);
			return NULL;
		}
	}
	*memory = (struct memory){
		.base = start,
		.start = start,
		.end = start + wanted->length,
		.margin = wanted->margin,
		.there = true,
	};
	return memory;
}

static bool fill_guards(const struct memory *memory)
{
	uintptr_t low = memory->start - memory->margin, high = memory->base + memory->size;

	return touch_fill((uint8_t *)low, GUARD_BYTE, memory->base - low) &&
	       touch_fill((uint8_t *)high, GUARD_BYTE, memory->end + memory->margin - high);
}

static int huge_flags(uint64_t size)
{
	return MAP_HUGETLB | __builtin_ctzll(size) << MAP_HUGE_SHIFT;
}

/* mem NAME SIZE offset share prot huge align guard at */
void op_mem(struct actor *actor, const struct call *call, uint32_t iteration, struct outcome *outcome)
{
	uint64_t size = num(call, 1), lead = num_or(call, 2, 0), huge = num_or(call, 5, 0);
	uint64_t granule = huge > actor->page ? huge : actor->page, align = num_or(call, 6, 0);
	struct wanted wanted = {
		.length = round_up(lead + size, granule),
		.align = align > granule ? align : granule,
		.margin = num_or(call, 7, 0) ? actor->page : 0,
		.prot = PROT_READ | PROT_WRITE,
		.flags = MAP_ANONYMOUS | (num_or(call, 3, SHARE_private) == SHARE_shared ? MAP_SHARED : MAP_PRIVATE) |
			 (huge ? huge_flags(huge) : MAP_NORESERVE),
		.fd = -1,
		.at = given(call, 8) ? call->value[8].place : NULL,
	};
	struct memory *memory = establish(actor, call, &wanted, outcome);
	int prot = protections[num_or(call, 4, PROT_rw)];

	(void)iteration;
	if (!memory)
		return;
	memory->base += lead;
	memory->size = size;
	memory->guarded = true;
	if (!fill_guards(memory))
		fail(outcome, EFAULT);
	else if (prot != wanted.prot)
		result(outcome, mprotect((void *)memory->start, wanted.length, prot));
	if (!outcome->error)
		return;
	munmap((void *)(memory->start - memory->margin), wanted.length + 2 * memory->margin);
	memory->there = false;
}

/* map NAME FD START SIZE share prot align at */
void op_map(struct actor *actor, const struct call *call, uint32_t iteration, struct outcome *outcome)
{
	uint64_t size = num(call, 3), align = num_or(call, 6, 0);
	struct wanted wanted = {
		.length = round_up(size, actor->page),
		.align = align > actor->page ? align : actor->page,
		.prot = protections[num_or(call, 5, PROT_rw)],
		.flags = num_or(call, 4, SHARE_shared) == SHARE_shared ? MAP_SHARED : MAP_PRIVATE,
		.fd = fd_named(actor, call->value[1].name, outcome),
		.file_offset = num(call, 2),
		.at = given(call, 7) ? call->value[7].place : NULL,
	};
	struct memory *memory;

	(void)iteration;
	if (wanted.fd < 0)
		return;
	memory = establish(actor, call, &wanted, outcome);
	if (memory)
		memory->size = size;
}

/* Where a range of a memory's pages begins; NULL when it is not within them. */
static void *pages_of(struct actor *actor, const struct call *call, struct outcome *outcome)
{
	struct memory *memory = memory_named(actor, call->value[0].name, outcome);
	uintptr_t from;
	uint64_t length = round_up(num(call, 2), actor->page);

	if (!memory)
		return NULL;
	from = memory->base + num(call, 1);
	/* What does not begin at a page is the kernel's to refuse. */
	if (from % actor->page)
		return (void *)from;
	if (from >= memory->start - memory->margin && from <= memory->end + memory->margin &&
	    length <= memory->end + memory->margin - from)
		return (void *)from;
	bad(outcome, "this range is not within the pages of", actor->program->mems[call->value[0].name]);
	return NULL;
}

/* protect NAME OFFSET SIZE PROT */
void op_protect(struct actor *actor, const struct call *call, uint32_t iteration, struct outcome *outcome)
{
	void *pages = pages_of(actor, call, outcome);

	(void)iteration;
	if (pages)
		result(outcome, mprotect(pages, num(call, 2), protections[num(call, 3)]));
}

/* unmap NAME OFFSET SIZE */
void op_unmap(struct actor *actor, const struct call *call, uint32_t iteration, struct outcome *outcome)
{
	void *pages = pages_of(actor, call, outcome);

	(void)iteration;
	if (pages)
		result(outcome, munmap(pages, num(call, 2)));
}
