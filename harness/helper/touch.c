// SPDX-License-Identifier: Apache-2.0
/* Touches memory that may not be there: a hole, a page that is protected, the part of a mapping behind its file's end. */
#include <setjmp.h>
#include <signal.h>
#include <string.h>

#include "actor.h"

static sigjmp_buf back;
static volatile sig_atomic_t touching;

static void on_fault(int signal)
{
	if (touching)
		siglongjmp(back, 1);
	/* Not expected here: with the default action back in place the fault happens again and ends the actor. */
	(void)!sigaction(signal, &(struct sigaction){ .sa_handler = SIG_DFL }, NULL);
}

void touch_init(void)
{
	/* The signal is not blocked while it is handled, so that the jump need not unblock it. */
	struct sigaction action = { .sa_handler = on_fault, .sa_flags = SA_NODEFER };

	sigaction(SIGSEGV, &action, NULL);
	sigaction(SIGBUS, &action, NULL);
}

/* Runs a statement that may fault; the function returns false if it does. */
#define TOUCH(statement)                                                      \
	do {                                                                  \
		if (sigsetjmp(back, 0)) {                                     \
			touching = 0;                                         \
			return false;                                         \
		}                                                             \
		touching = 1;                                                 \
		/* Nothing of it is moved out from under the net. */          \
		__asm__ volatile("" ::: "memory");                            \
		statement;                                                    \
		__asm__ volatile("" ::: "memory");                            \
		touching = 0;                                                 \
		return true;                                                  \
	} while (0)

bool touch_copy(uint8_t *to, const uint8_t *from, size_t size)
{
	TOUCH(memcpy(to, from, size));
}

bool touch_fill(uint8_t *to, uint8_t byte, size_t size)
{
	TOUCH(memset(to, byte, size));
}

bool touch_expand(uint8_t *to, const struct bytes *bytes)
{
	TOUCH(bytes_expand(bytes, to));
}

bool touch_hash(const uint8_t *from, size_t size, uint64_t *hash)
{
	TOUCH(*hash = fnv1a64(FNV1A64_START, from, size));
}

static __attribute__((noinline)) uint64_t count_other(const uint8_t *from, uint8_t byte, size_t size)
{
	uint64_t count = 0;

	while (size--)
		count += *from++ != byte;
	return count;
}

bool touch_count_other(const uint8_t *from, uint8_t byte, size_t size, uint64_t *count)
{
	TOUCH(*count += count_other(from, byte, size));
}

static __attribute__((noinline)) uint64_t load(const uint8_t *from, int width)
{
	switch (width) {
	case 1:
		return *(const volatile uint8_t *)from;
	case 2:
		return *(const volatile uint16_t *)from;
	case 4:
		return *(const volatile uint32_t *)from;
	default:
		return *(const volatile uint64_t *)from;
	}
}

static __attribute__((noinline)) void store(uint8_t *to, int width, uint64_t value)
{
	switch (width) {
	case 1:
		*(volatile uint8_t *)to = value;
		return;
	case 2:
		*(volatile uint16_t *)to = value;
		return;
	case 4:
		*(volatile uint32_t *)to = value;
		return;
	default:
		*(volatile uint64_t *)to = value;
	}
}

bool touch_load(const uint8_t *from, int width, uint64_t *value)
{
	TOUCH(*value = load(from, width));
}

bool touch_store(uint8_t *to, int width, uint64_t value)
{
	TOUCH(store(to, width, value));
}
