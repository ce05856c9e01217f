// SPDX-License-Identifier: Apache-2.0
/*
 * Boots another kernel from the one that runs: kexec IMAGE INITRD LINE. Each is a file; an empty INITRD is none, and an empty
 * LINE means the command line of the kernel that runs. Says "loaded" once the kernel has taken it (kexec_file_load(2)), and
 * goes there a second later, so that whoever asked hears of it.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kexec.h>
#include <linux/reboot.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MOST_LINE 4096

static int fail(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	return 1;
}

/* Reads a line without its end; its length with the zero behind it, or -1. */
static long read_line(const char *path, char *line)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got = fd < 0 ? -1 : read(fd, line, MOST_LINE - 1);

	if (fd >= 0)
		close(fd);
	if (got < 0)
		return -1;
	line[got] = 0;
	line[strcspn(line, "\n")] = 0;
	return (long)strlen(line) + 1;
}

/* In a process of its own, which nobody waits for. */
static int go(void)
{
	pid_t child = fork();

	if (child < 0)
		return fail("fork");
	if (child > 0)
		return 0;
	setsid();
	for (int fd = 0; fd < 3; fd++)
		close(fd);
	sleep(1);
	sync();
	syscall(SYS_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_KEXEC, 0);
	_exit(1);
}

int main(int argc, char **argv)
{
	static char line[MOST_LINE];
	struct stat initrd_is;
	long length;
	int image, initrd;

	if (argc != 4) {
		fputs("usage: kexec IMAGE INITRD LINE\n", stderr);
		return 64;
	}
	image = open(argv[1], O_RDONLY | O_CLOEXEC);
	initrd = open(argv[2], O_RDONLY | O_CLOEXEC);
	if (image < 0 || initrd < 0 || fstat(initrd, &initrd_is) < 0)
		return fail("open");
	length = read_line(argv[3], line);
	if (length == 1)
		length = read_line("/proc/cmdline", line);
	if (length < 0)
		return fail("the command line");
	if (syscall(SYS_kexec_file_load, image, initrd, length, line,
		    initrd_is.st_size == 0 ? KEXEC_FILE_NO_INITRAMFS : 0) < 0)
		return fail("kexec_file_load");
	puts("loaded");
	fflush(stdout);
	return go();
}
