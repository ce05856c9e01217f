// SPDX-License-Identifier: Apache-2.0
/* The bytes of a memory, and single loads and stores. */
#define _GNU_SOURCE
#include <endian.h>
#include <time.h>

#include "actor.h"

/* Until here await polls without sleeping; then it sleeps between polls. */
#define EAGER_POLLS 64
#define POLL_NS 500000l

/*
 * Where `size` bytes at an offset of a memory are; NULL when its name stands for nothing, or they lie so far off that
 * they could be somebody else's. Its guards, and the pages beside it that cannot be touched, are near enough.
 */
static uint8_t *bytes_of(struct actor *actor, const struct call *call, uint64_t offset, uint64_t size,
			 struct outcome *outcome)
{
	struct memory *memory = memory_named(actor, call->value[0].name, outcome);
	uintptr_t from, low, high;

	if (!memory)
		return NULL;
	from = memory->base + offset;
	low = memory->start - memory->margin - actor->page;
	high = memory->end + memory->margin + actor->page;
	if (from >= low && from <= high && size <= high - from)
		return (uint8_t *)from;
	bad(outcome, "this range is not within", actor->program->mems[call->value[0].name]);
	return NULL;
}

/* write NAME OFFSET DATA */
void op_write(struct actor *actor, const struct call *call, uint32_t iteration, struct outcome *outcome)
{
	const struct bytes *data = call->value[2].bytes;
	uint8_t *to = bytes_of(actor, call, num(call, 1), data->size, outcome);

	(void)iteration;
	if (to && !touch_expand(to, data))
		fail(outcome, EFAULT);
}

/* link NAME OFFSET TARGET */
void op_link(struct actor *actor, const struct call *call, uint32_t iteration, struct outcome *outcome)
{
	uint8_t *to = bytes_of(actor, call, num(call, 1), sizeof(uintptr_t), outcome);
	uintptr_t address;

	(void)iteration;
	if (to && address_of(actor, call->value[2].place, &address, outcome) &&
	    !touch_copy(to, (const uint8_t *)&address, sizeof(address)))
		fail(outcome, EFAULT);
}

/* fill NAME OFFSET SIZE BYTE */
void op_fill(struct actor *actor, const struct call *call, uint32_t iteration, struct outcome *outcome)
{
	uint8_t *to = bytes_of(actor, call, num(call, 1), num(call, 2), outcome);

	(void)iteration;
	if (to && !touch_fill(to, num(call, 3), num(call, 2)))
		fail(outcome, EFAULT);
}

/* read NAME OFFSET SIZE */
void op_read(struct actor *actor, const struct call *call, uint32_t iteration, struct outcome *outcome)
{
	uint64_t size = num(call, 2);
	const uint8_t *from = bytes_of(actor, call, num(call, 1), size, outcome);
	uint8_t *copy;

	(void)iteration;
	if (!from)
		return;
	copy = guarded_take(size);
	if (!touch_copy(copy, from, size)) {
		fail(outcome, EFAULT);
		return;
	}
	outcome->out = copy;
	outcome->out_size = size;
}

/* hash NAME OFFSET SIZE */
void op_hash(struct actor *actor, const struct call *call, uint32_t iteration, struct outcome *outcome)
{
	static uint64_t big_endian;
	const uint8_t *from = bytes_of(actor, call, num(call, 1), num(call, 2), outcome);
	uint64_t hash;

	(void)iteration;
	if (!from)
		return;
	if (!touch_hash(from, num(call, 2), &hash)) {
		fail(outcome, EFAULT);
		return;
	}
	big_endian = htobe64(hash);
	outcome->out = (const uint8_t *)&big_endian;
	outcome->out_size = sizeof(big_endian);
}

/* guards NAME */
void op_guards(struct actor *actor, const struct call *call, uint32_t iteration, struct outcome *outcome)
{
	struct memory *memory = memory_named(actor, call->value[0].name, outcome);
	uintptr_t low, high;
	uint64_t count = 0;

	(void)iteration;
	if (!memory || !memory->guarded)
		return;
	low = memory->start - memory->margin;
	high = memory->base + memory->size;
	if (!touch_count_other((uint8_t *)low, GUARD_BYTE, memory->base - low, &count) ||
	    !touch_count_other((uint8_t *)high, GUARD_BYTE, memory->end + memory->margin - high, &count))
		fail(outcome, EFAULT);
	else
		outcome->ret = count;
}

/* peek NAME OFFSET WIDTH */
void op_peek(struct actor *actor, const struct call *call, uint32_t iteration, struct outcome *outcome)
{
	const uint8_t *from = bytes_of(actor, call, num(call, 1), num(call, 2), outcome);
	uint64_t value;

	(void)iteration;
	if (!from)
		return;
	if (touch_load(from, num(call, 2), &value))
		outcome->ret = value;
	else
		fail(outcome, EFAULT);
}

/* poke NAME OFFSET WIDTH VALUE */
void op_poke(struct actor *actor, const struct call *call, uint32_t iteration, struct outcome *outcome)
{
	uint8_t *to = bytes_of(actor, call, num(call, 1), num(call, 2), outcome);

	(void)iteration;
	if (to && !touch_store(to, num(call, 2), num(call, 3)))
		fail(outcome, EFAULT);
}

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000ull + now.tv_nsec / 1000000;
}

/* await NAME OFFSET WIDTH MASK VALUE TIMEOUT_MS */
void op_await(struct actor *actor, const struct call *call, uint32_t iteration, struct outcome *outcome)
{
	const uint8_t *from = bytes_of(actor, call, num(call, 1), num(call, 2), outcome);
	uint64_t value, start = now_ms();

	(void)iteration;
	if (!from)
		return;
	for (int polls = 0;; polls++) {
		/* Time is looked at before the last load, so that a value that came in time is not missed. */
		bool late = now_ms() - start >= num(call, 5);

		if (!touch_load(from, num(call, 2), &value)) {
			fail(outcome, EFAULT);
			return;
		}
		if ((value & num(call, 3)) == num(call, 4)) {
			outcome->ret = value;
			return;
		}
		if (late) {
			fail(outcome, ETIMEDOUT);
			return;
		}
		if (polls >= EAGER_POLLS)
			nanosleep(&(struct timespec){ 0, POLL_NS }, NULL);
	}
}
