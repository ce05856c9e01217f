// SPDX-License-Identifier: Apache-2.0
/*
 * What the same calls cost without any harness: MAP_DMA and UNMAP_DMA of one page, in a loop, on one group.
 * usage: loop GROUP PAIRS; prints the calls per second.
 */
#include <fcntl.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	struct vfio_iommu_type1_dma_map map = { .argsz = sizeof(map), .flags = 3, .size = 4096 };
	struct vfio_iommu_type1_dma_unmap unmap = { .argsz = sizeof(unmap) };
	int container = open("/dev/vfio/vfio", O_RDWR);
	int group = argc == 3 ? open(argv[1], O_RDWR) : -1;
	long pairs = argc == 3 ? atol(argv[2]) : 0;
	char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	double start;

	if (container < 0 || group < 0 || page == MAP_FAILED || ioctl(group, VFIO_GROUP_SET_CONTAINER, &container) ||
	    ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU)) {
		perror("loop");
		return 1;
	}
	page[0] = 1;
	map.vaddr = (__u64)(unsigned long)page;
	start = seconds();
	for (long i = 0; i < pairs; i++) {
		map.iova = unmap.iova = (__u64)i * 4096;
		unmap.size = 4096;
		if (ioctl(container, VFIO_IOMMU_MAP_DMA, &map) || ioctl(container, VFIO_IOMMU_UNMAP_DMA, &unmap)) {
			perror("loop");
			return 1;
		}
	}
	printf("%.0f\n", 2 * pairs / (seconds() - start));
	return 0;
}
