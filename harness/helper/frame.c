// SPDX-License-Identifier: Apache-2.0
/* Frames as they come in. */
#include <string.h>

#include "frame.h"
#include "program.h"

/* Reads " NUMBER", decimal and at most `max`; NULL when it is not there. */
static const char *read_field(const char *at, const char *end, uint64_t max, uint64_t *number)
{
	const char *first = ++at;

	if (at > end || at[-1] != ' ')
		return NULL;
	for (*number = 0; at < end && *at >= '0' && *at <= '9'; at++) {
		*number = *number * 10 + (*at - '0');
		if (*number > max)
			return NULL;
	}
	return at > first ? at : NULL;
}

static void read_run(struct frame *frame, const char *at, const char *end)
{
	uint64_t bytes, step_ms, program_ms;

	frame->kind = FRAME_MALFORMED;
	frame->wrong = "expected run ID BYTES STEP_MS PROGRAM_MS, within their bounds";
	at = read_field(at, end, (1ull << 53) - 1, &frame->id);
	at = at ? read_field(at, end, MAX_TEXT, &bytes) : NULL;
	at = at ? read_field(at, end, MAX_STEP_MS, &step_ms) : NULL;
	at = at ? read_field(at, end, MAX_PROGRAM_MS, &program_ms) : NULL;
	if (at != end || !step_ms || !program_ms)
		return;
	frame->kind = FRAME_RUN;
	frame->text_size = bytes;
	frame->step_ms = step_ms;
	frame->program_ms = program_ms;
}

void frame_read(struct frame *frame, const char *bytes, size_t size)
{
	const char *newline = size ? memchr(bytes, '\n', size < MAX_HEADER ? size : MAX_HEADER) : NULL;
	size_t header = newline ? newline - bytes : 0;

	*frame = (struct frame){ .kind = FRAME_PARTIAL };
	if (!newline) {
		if (size >= MAX_HEADER) {
			frame->kind = FRAME_MALFORMED;
			frame->wrong = "expected a frame's first line to end within 128 bytes";
		}
		return;
	}
	if (header == 3 && !memcmp(bytes, "bye", 3)) {
		frame->kind = FRAME_BYE;
		frame->size = header + 1;
		return;
	}
	if (header < 3 || memcmp(bytes, "run", 3)) {
		frame->kind = FRAME_MALFORMED;
		frame->wrong = "expected run or bye";
		return;
	}
	read_run(frame, bytes + 3, newline);
	if (frame->kind != FRAME_RUN)
		return;
	if (size - header - 1 < frame->text_size) {
		frame->kind = FRAME_PARTIAL;
		return;
	}
	frame->text = newline + 1;
	frame->size = header + 1 + frame->text_size;
}
