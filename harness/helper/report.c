// SPDX-License-Identifier: Apache-2.0
/* Observations as lines of text. In a repeat, iterations with the same outcome become one line. */
#include <string.h>

#include "run.h"

static const char *const mishap_words[] = {
	[MISHAP_TIMEOUT] = "timeout", [MISHAP_STUCK] = "stuck", [MISHAP_DIED] = "died",
	[MISHAP_GONE] = "gone",	      [MISHAP_BAD] = "bad",
};

void (*on_full)(struct shared *shared);

char *put_text(char *to, const char *text)
{
	size_t length = strlen(text);

	memcpy(to, text, length);
	return to + length;
}

char *put_number(char *to, uint64_t number)
{
	char digits[20];
	int at = sizeof(digits);

	do
		digits[--at] = '0' + number % 10;
	while (number /= 10);
	memcpy(to, digits + at, sizeof(digits) - at);
	return to + sizeof(digits) - at;
}

char *put_signed(char *to, int64_t number)
{
	if (number >= 0)
		return put_number(to, number);
	*to++ = '-';
	return put_number(to, -(uint64_t)number);
}

char *line_begin(struct shared *shared)
{
	if (atomic_load(&shared->head) > TEXT_SOFT)
		on_full(shared);
	return shared_text(shared) + atomic_load(&shared->head);
}

void line_end(struct shared *shared, char *end)
{
	*end++ = '\n';
	atomic_store(&shared->head, end - shared_text(shared));
}

static char *put_position(char *to, const struct program *program, struct position at, uint32_t last)
{
	to = put_number(to, at.call);
	if (program->calls[at.call].repeat < 0)
		return to;
	*to++ = '.';
	to = put_number(to, at.iteration);
	if (last > at.iteration) {
		*to++ = '-';
		to = put_number(to, last);
	}
	return to;
}

static void print(struct shared *shared, const struct program *program, struct position at, uint32_t last,
		  const struct outcome *outcome)
{
	char *to = put_position(line_begin(shared), program, at, last);

	*to++ = ' ';
	if (outcome->mishap) {
		*to++ = '!';
		to = put_text(to, mishap_words[outcome->mishap]);
		*to++ = ' ';
		line_end(shared, escape(to, outcome->detail, strlen(outcome->detail)));
		return;
	}
	to = put_signed(to, outcome->ret);
	*to++ = ' ';
	to = put_number(to, outcome->error);
	if (outcome->out)
		to = bytes_print(put_text(to, " out="), outcome->out, outcome->out_size);
	for (uint32_t i = 0; i < outcome->trampled_count; i++) {
		to = put_text(to, i ? "," : " trampled=");
		to = put_signed(to, outcome->trampled[i]);
	}
	line_end(shared, to);
}

static bool same(const struct pending *pending, const uint8_t *kept, const struct outcome *outcome)
{
	if (pending->ret != outcome->ret || pending->error != outcome->error || pending->mishap != outcome->mishap ||
	    pending->has_out != !!outcome->out || pending->trampled_count != outcome->trampled_count)
		return false;
	if (outcome->out && (pending->out_size != outcome->out_size || memcmp(kept, outcome->out, outcome->out_size)))
		return false;
	if (outcome->mishap && strcmp(pending->detail, outcome->detail))
		return false;
	return !memcmp(pending->trampled, outcome->trampled, outcome->trampled_count * sizeof(*outcome->trampled));
}

/* Reports a pending run. Who dies between the two lines loses it rather than leaving it to be reported twice. */
static void flush(struct shared *shared, const struct program *program, uint32_t call, struct pending *pending)
{
	struct outcome outcome = {
		.ret = pending->ret,
		.error = pending->error,
		.mishap = pending->mishap,
		.out = pending->has_out ? shared_kept(shared) + program->calls[call].keep_at : NULL,
		.out_size = pending->out_size,
		.trampled_count = pending->trampled_count,
	};

	if (!pending->valid)
		return;
	memcpy(outcome.trampled, pending->trampled, sizeof(outcome.trampled));
	memcpy(outcome.detail, pending->detail, sizeof(outcome.detail));
	pending->valid = false;
	print(shared, program, (struct position){ call, pending->first }, pending->last, &outcome);
}

static void keep(struct pending *pending, uint8_t *kept, uint32_t iteration, const struct outcome *outcome)
{
	pending->has_out = !!outcome->out;
	pending->mishap = outcome->mishap;
	pending->ret = outcome->ret;
	pending->error = outcome->error;
	pending->out_size = outcome->out_size;
	pending->trampled_count = outcome->trampled_count;
	if (outcome->out)
		memcpy(kept, outcome->out, outcome->out_size);
	if (outcome->mishap)
		memcpy(pending->detail, outcome->detail, sizeof(pending->detail));
	memcpy(pending->trampled, outcome->trampled, outcome->trampled_count * sizeof(*outcome->trampled));
	pending->first = iteration;
	pending->last = iteration;
	pending->valid = true;
}

void report(struct shared *shared, const struct program *program, struct position at, const struct outcome *outcome)
{
	const struct call *call = &program->calls[at.call];
	struct pending *pending;
	uint8_t *kept;

	if (call->repeat < 0) {
		print(shared, program, at, at.iteration, outcome);
		return;
	}
	pending = shared_pending(shared, at.call - program->repeats[call->repeat].first);
	kept = shared_kept(shared) + call->keep_at;
	if (pending->valid && same(pending, kept, outcome)) {
		atomic_store_explicit(&pending->last, at.iteration, memory_order_release);
		return;
	}
	flush(shared, program, at.call, pending);
	if (outcome->out && outcome->out_size > call->keep_room)
		print(shared, program, at, at.iteration, outcome);
	else
		keep(pending, kept, at.iteration, outcome);
}

void report_pending(struct shared *shared, const struct program *program, const struct repeat *repeat)
{
	for (uint32_t i = 0; i < repeat->calls; i++)
		flush(shared, program, repeat->first + i, shared_pending(shared, i));
}

void report_mishap(struct shared *shared, const struct program *program, struct position at, uint32_t last,
		   enum mishap mishap, const char *detail)
{
	struct outcome outcome = { .mishap = mishap };

	strncpy(outcome.detail, detail, sizeof(outcome.detail) - 1);
	print(shared, program, at, last, &outcome);
}

struct position position_after(const struct program *program, struct position at)
{
	const struct call *call = &program->calls[at.call];
	const struct repeat *repeat;

	if (call->repeat < 0)
		return (struct position){ at.call + 1, 0 };
	repeat = &program->repeats[call->repeat];
	if (at.call + 1 < repeat->first + repeat->calls)
		return (struct position){ at.call + 1, at.iteration };
	if (at.iteration + 1 < repeat->count)
		return (struct position){ repeat->first, at.iteration + 1 };
	return (struct position){ at.call + 1, 0 };
}
