/* Preloaded into a server: its wall clock reads what the system's does, plus an offset from a file. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile long long *offset; /* microseconds */

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("CLOCK_OFFSET");
    int file = path ? open(path, O_RDONLY) : -1;
    if (file < 0) return;
    void *memory = mmap(NULL, sizeof *offset, PROT_READ, MAP_SHARED, file, 0);
    if (memory != MAP_FAILED) offset = memory;
    close(file);
}

static long long now(void) {
    struct timespec real;
    syscall(SYS_clock_gettime, CLOCK_REALTIME, &real);
    return real.tv_sec * 1000000LL + real.tv_nsec / 1000 + (offset ? *offset : 0);
}

int gettimeofday(struct timeval *restrict time, void *restrict zone) {
    (void)zone;
    long long micro = now();
    time->tv_sec = micro / 1000000;
    time->tv_usec = micro % 1000000;
    return 0;
}

time_t time(time_t *result) {
    time_t seconds = now() / 1000000;
    if (result) *result = seconds;
    return seconds;
}

int clock_gettime(clockid_t id, struct timespec *result) {
    if (id != CLOCK_REALTIME) return syscall(SYS_clock_gettime, id, result);
    long long micro = now();
    result->tv_sec = micro / 1000000;
    result->tv_nsec = micro % 1000000 * 1000;
    return 0;
}
